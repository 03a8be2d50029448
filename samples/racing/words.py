"""The words that made-up racing names are put together from: likeness to a real horse, person or course is chance."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _courses(region: str, codes: str, names: str) -> list[tuple[str, str, str]]:
    return [(name, region, codes) for name in names.split(", ")]


FIRST = _words(
    """
Amber Apple Ardent Arctic August Autumn Azure Balmy Barley Beacon Bellows Birch Bitter Blazing Bold Brave Brazen
Bright Brisk Bronze Burning Calm Candid Canny Cedar Chalk Cherry Chilly Cinder Clever Cloudy Clover Cobalt Copper
Coral Cosy Crafty Crimson Crystal Curious Daring Dawn Deep Distant Dorée Drifting Dusky Dusty Eager Early Easy Elder
Electric Élan Emerald Endless Fabled Faithful Fancy Fern Fierce Fiery Final First Flint Flying Foggy Forest Frosty
Gallant Gentle Gilded Ginger Glad Golden Grand Granite Green Grey Hasty Hazel Hearty Hidden High Hollow Honest Humble
Icy Indigo Iron Ivory Jade Jolly Jovial Keen Kindly Laurel Leafy Lemon Lively Lofty Lonely Loud Lucid Lunar Magnetic
Maple Marble Meadow Mellow Merry Midnight Mighty Mild Misty Modest Moonlit Mossy Mystic Neat Nimble Noble Northern
Novel Oaken Ochre Olive Opal Orchard Pale Patient Pearl Pebble Pepper Plain Plucky Polar Polite Prairie Proud Pure
Purple Quaint Quick Quiet Rainy Rapid Raven Ready Regal Restless Ripe Roaring Rocky Rosé Royal Ruby Rustic Saffron
Sandy Scarlet Secret Señor Serene Shady Sharp Shining Silent Silken Silver Simple Sky Smoky Snowy Solar Solid Sombre
Southern Spiced Spring Steady Stellar Stony Stormy Sudden Summer Sunny Sure Swift Tawny Tender Tidal Timber Topaz
Tranquil Trusty Twilight Upland Urban Valiant Velvet Verdant Vivid Wandering Warm Western Whispering Wild Willow Windy
Winter Wise Woven Young Zesty
"""
)

SECOND = _words(
    """
Acorn Alibi Almanac Anchor Anthem Anvil Apricot Arcade Archer Arrow Asphodel Aurora Avenue Badger Ballad Banjo Banner
Barge Barrel Basket Beetle Bellman Bishop Blossom Bonnet Boulder Bramble Brook Bugle Butler Button Cabin Candle Canyon
Captain Caravan Carol Castle Causeway Chalice Chapel Chariot Chime Chorus Cloak Cobbler Comet Compass Copse Corner
Cottage Cove Cradle Crest Cricket Crossing Current Dancer Dapple Delta Diary Dolphin Domino Drummer Echo Ember Engine
Errand Fable Falcon Farrier Feather Fiddle Fiord Flagon Flame Flute Folly Forge Fountain Fox Frigate Gable Garland
Garnet Gazette Glacier Glade Glory Gorge Grove Gull Hamlet Harbour Harp Harvest Haven Hedge Herald Heron Hill Horizon
Île Inkwell Island Jackdaw Javelin Jester Jigsaw Journey Jubilee Kestrel Kettle Keystone Kite Ladder Lagoon Lantern
Lark Ledger Legend Lighthouse Linnet Lodge Loom Lullaby Lynx Magpie Mallard Mantle Mariner Market Marquee Mason Meteor
Milestone Mill Minstrel Mirror Monsoon Mosaic Mountain Nest Nomad Notion Oasis Oracle Orchid Osprey Otter Outpost Owl
Pageant Paradox Parasol Parcel Pasture Pavilion Pilgrim Pilot Pioneer Planet Poet Postman Prism Promise Puffin Quarry
Quay Quest Quill Quilt Rampart Ranger Reed Reef Riddle Ripple River Robin Rocket Rover Saddle Sage Sailor Scholar
Sentinel Shadow Shepherd Signal Sketch Skylark Sonnet Sparrow Sphinx Spire Spruce Stable Starling Statue Steeple
Stream Sundial Swallow Tailor Tempest Thicket Thimble Thistle Thunder Timpani Torrent Tower Trellis Trumpet Tulip
Turret Umbrella Valley Vessel Viaduct Village Violin Vista Voyage Wagon Walnut Waterfall Weaver Whistle Wicket Wizard
Wren Yarrow Zephyr
"""
)

NAMES = ("{0} {1}", "{1}'s {0}", "The {0} {1}", "{0} {1} Rú", "My {0} {1}", "{1} Of {0}", "Ø {0} {1}", "{0}'n {1}")
"""How a first and a second word make a name: no two patterns make the same name."""

FORENAMES = _words(
    """
Ada Aidan Ailsa Alba Ambrose Aoife Barnaby Beatrix Bjørn Bríd Bruno Cáit Callum Cara Cathal Cecily Ciarán Clement
Conor Cormac Dara Declan Delphine Dermot Edith Eamon Eilís Elsie Emrys Enda Esmé Fergus Fiachra Flora Gareth Gráinne
Greta Hamish Harriet Hester Hugo Ida Imogen Iolo Isla Ivor Jarlath Jonas Kieran Lachlan Lena Lorcan Luca Mabel Maeve
Malachy Maren Mungo Nell Ned Niall Nora Odhrán Olwen Orla Oscar Padraig Percy Petra Róisín Rory Rowan Rufus Ruth
Saoirse Seán Sid Síle Søren Tadhg Tess Tilly Tomás Una Violet Wilf Winnie Zoë
"""
)

SURNAMES = _words(
    """
Abel Ardley Ashdown Barrow Bexley Birtle Bligh Bracken Brannock Brisco Caddick Calloway Carrow Casson Cole Corrigan
Coyle Crabbe Culhane Dace Dalby Darrow Devane Dilworth Dunmore Eastcott Ebdon-Lowe Fallow Farrand Fenwick Finnerty
Fogarty Fox Gadsby Garrity Gilroy Gorse Grady Hallam Harte Hasset Haverty Hobday Holm Huxley Ince Jarrold Jervis Joyce
Kelleher Kemble Kilbride Kinsella Lally Larkham Lidgate Loftus Lunt Mabey Madden Marlow McArdle McGlinn Meade Mercer
Moody Nangle Neary Nuttall O'Dowd O'Gara O'Rourke Okoro Orr Oxley Pascoe Peake Penrose Prowse Quaye Quill Quirke
Raftery Redfern Ridley Rudd Ruane Ryder Scully Sedge Shanahan Skelton-Dale Stokes Tapper Tarrant Thwaite Tierney Tully
Upcott Usher Varley Vaughan Wadlow Walsh-Byrne Weir Whelan Wick Yardley Yeo Zeller
"""
)

HOMES = {
    "GB": (
        "Newmarket, Suffolk", "Lambourn, Berks", "Malton, N Yorks", "Middleham, N Yorks", "Epsom, Surrey",
        "Thirsk, N Yorks", "Ditcheat, Somerset", "Cheltenham, Gloucs", "Abergavenny, Monmouths", "Ayr, S Ayrshire", "",
    ),
    "IRE": (
        "The Curragh, Co Kildare", "Naas, Co Kildare", "Athenry, Co Galway", "Cashel, Co Tipperary",
        "Dún Laoghaire, Co Dublin", "Navan, Co Meath", "Mallow, Co Cork",
    ),
}  # fmt: skip
"""Where stables are, by region; some have no location."""

STUDS = ("Glenmore Stud", "Dale Stud", "Haras du Lac", "R Devane", "T Ruane", "Gestüt Mühlbach", "Cloverlea Farm", "")

COURSES = (
    *_courses("gb", "F", "Aldermoor, Bracknell Heath, Carrowby, Dunsmere, Elmstead, Fernhurst, Goldsworth"),
    *_courses("gb", "J", "Harrowgate, Inglewood, Jarrow Vale, Kelsby, Larkfield, Marshgate, Northcombe, Oakhanger"),
    *_courses("gb", "FJ", "Ravensworth, Saltmarsh, Tarnbrook, Upperdale, Vinehall, Wexcombe, Yarnbury, Abbotsley"),
    *_courses("gb", "FJ", "Bellingdon, Coldharbour, Dovecliffe, Eskmouth, Pendle Water, Quorndon"),
    *_courses("gb", "A", "Millrace (AW), Foundry (AW), Gasworks (AW), Lamplight (AW), Saltpan (AW), Towpath (AW)"),
    *_courses("ire", "FJ", "Kilcarrig, Ballyfeard, Clonmoyle, Drumgarve, Inishkeel, Knockalla, Lisnabree, Dún Árd"),
    *_courses("ire", "FJ", "Mullafarry, Rathcoole Bridge, Tobermore, Carraig Óg"),
    *_courses("ire", "J", "Gortnamona, Killasser, Portavaud"),
    *_courses("ire", "A", "Ballynahoe (AW)"),
    *_courses("fr", "FJ", "Val d'Été, Pré-Fleuri"),
)
"""Name, region and codes: F for flat turf, J for jumps, A for all-weather."""

REGIONS = (
    ("gb", "Great Britain"), ("ire", "Ireland"), ("fr", "France"), ("usa", "United States"), ("aus", "Australia"),
)  # fmt: skip

SPONSORS = (
    "Copper Pan", "Lough", "Mason's Arms", "Thatcher & Sons", 'Racing "Hands And Heels"', "£10,000 Bonus", "Fête d'Été",
    "Riverside Joinery", "Old Quay", "Harvest Home", "EBF Ballyfeard Farms", "Møller Timber", "Join The Club",
    "Happy 40th Birthday Una", "Download The App", "Bakers' Guild",
)  # fmt: skip
