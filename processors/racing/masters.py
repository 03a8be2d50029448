"""Rows of what a race or a horse's detail names: courses, people, parents, pedigrees (racing spec, section 5).

An entity needs an id and a name. Where one has no row its id is None: the columns that hold it are foreign keys.
"""

from processors.racing.rows import Rows
from schemas.racing.tables import REGIONS

Parent = tuple[str | None, str | None, str | None]
"""Id, name and region of a sire, dam or damsire."""


class Masters:
    """Gathers masters into the rows of one source. `observed` is ISO 8601 text."""

    def __init__(self, rows: Rows) -> None:
        self._course = rows.putter("ra_mst_courses")
        self._jockey = rows.putter("ra_mst_jockeys")
        self._trainer = rows.putter("ra_mst_trainers")
        self._owner = rows.putter("ra_mst_owners")
        self._sire = rows.putter("ra_mst_sires")
        self._dam = rows.putter("ra_mst_dams")
        self._damsire = rows.putter("ra_mst_damsires")
        self._pedigree = rows.putter("ra_horse_pedigree")

    def course(self, identifier: str | None, name: str | None, region: str | None, observed: str) -> None:
        """A race's course, in the region that the race has."""
        if identifier is None or name is None:
            return
        code = region and region.lower()
        code = "gb" if code == "uk" else code
        self._course([identifier, name, code, REGIONS.get(code or ""), observed])

    def jockey(self, identifier: str | None, name: str | None, observed: str) -> str | None:
        """A runner's rider; the id when there is a row."""
        if identifier is None or name is None:
            return None
        self._jockey([identifier, name, observed])
        return identifier

    def trainer(self, identifier: str | None, name: str | None, location: str | None, observed: str) -> str | None:
        """A runner's trainer; the id when there is a row."""
        if identifier is None or name is None:
            return None
        self._trainer([identifier, name, location, observed])
        return identifier

    def owner(self, identifier: str | None, name: str | None, observed: str) -> str | None:
        """A runner's owner; the id when there is a row."""
        if identifier is None or name is None:
            return None
        self._owner([identifier, name, observed])
        return identifier

    def parents(
        self,
        horse: str,
        sire: Parent,
        dam: Parent,
        damsire: Parent,
        breeder: str | None,
        region: str | None,
        observed: str,
    ) -> tuple[str | None, str | None, str | None]:
        """A horse's parents, and its pedigree where one of them is known; their ids where they have rows."""
        sire_id, sire_name, sire_region = sire
        dam_id, dam_name, dam_region = dam
        damsire_id, damsire_name, damsire_region = damsire
        if sire_name is None:
            sire_id = None
        elif sire_id is not None:
            self._sire([sire_id, sire_name, sire_region, observed])
        if dam_name is None:
            dam_id = None
        elif dam_id is not None:
            self._dam([dam_id, dam_name, dam_region, observed])
        if damsire_name is None:
            damsire_id = None
        elif damsire_id is not None:
            self._damsire([damsire_id, damsire_name, damsire_region, observed])
        if sire_id is not None or dam_id is not None or damsire_id is not None:
            self._pedigree(
                [horse, sire_id, sire_name, dam_id, dam_name, damsire_id, damsire_name, breeder, region, observed]
            )
        return sire_id, dam_id, damsire_id
