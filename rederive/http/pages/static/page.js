// What pages do with JavaScript: charts in the place of tables, keys, and a word when the server is away.
"use strict";

(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const drawn = new Map();
  const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });
  const EXACT = new Intl.NumberFormat("en", { maximumSignificantDigits: 8 });
  // Ticks: from so many seconds apart on, what each says, and what besides where a year, month or day begins.
  const TIMES = [
    [3600 * 24 * 365, "{YYYY}", null, null, null, null, null, null, 1],
    [3600 * 24 * 28, "{YYYY}-{MM}", null, null, null, null, null, null, 1],
    [3600 * 24, "{MM}-{DD}", "\n{YYYY}", null, null, null, null, null, 1],
    [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
    [1, "{HH}:{mm}:{ss}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
  ];

  const table = (figure) => {
    const rows = [...figure.querySelectorAll("tbody tr")];
    const times = rows.map((row) => {
      const text = row.querySelector("time").getAttribute("datetime");
      const at = Date.parse(text) / 1000;
      return Number.isNaN(at) ? Number(text) : at;
    });
    const names = [...figure.querySelectorAll("thead th")].slice(1).map((head) => head.textContent);
    const lines = names.map((_, place) => rows.map((row) => {
      const text = row.children[place + 1].dataset.v;
      return text === "" ? null : Number(text);
    }));
    return { times, names, lines };
  };

  const marks = (figure) => [...figure.querySelectorAll(".marks li")].map((one) => (
    { at: Date.parse(one.dataset.at) / 1000, name: one.textContent.trim().replace(/^\S+ \S+ /, "") }));

  const marking = (found) => ({
    hooks: {
      draw: (plot) => {
        const { ctx, bbox } = plot;
        ctx.save();
        ctx.strokeStyle = colour("--soft");
        ctx.fillStyle = colour("--soft");
        ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
        ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
        found.forEach(({ at, name }, number) => {
          const x = plot.valToPos(at, "x", true);
          if (x < bbox.left || x > bbox.left + bbox.width) return;
          ctx.beginPath();
          ctx.moveTo(x, bbox.top);
          ctx.lineTo(x, bbox.top + bbox.height);
          ctx.stroke();
          const right = x > bbox.left + 0.85 * bbox.width;
          ctx.textAlign = right ? "right" : "left";
          ctx.fillText(name, x + (right ? -4 : 4), bbox.top + (12 + 13 * (number % 3)) * devicePixelRatio);
        });
        ctx.restore();
      },
    },
  });

  const draw = (figure) => {
    const { times, names, lines } = table(figure);
    const room = figure.querySelector(".plot");
    drawn.get(room)?.destroy();
    room.replaceChildren();
    if (times.length < 2) return;
    const grid = { stroke: colour("--faint"), width: 1 };
    const axis = { stroke: colour("--soft"), grid, ticks: grid, font: "11px system-ui, sans-serif" };
    const days = figure.querySelector("tbody time").getAttribute("datetime").length === 10;
    const when = uPlot.fmtDate(days ? "{YYYY}-{MM}-{DD}" : "{YYYY}-{MM}-{DD} {HH}:{mm}");
    const utc = (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC");
    const found = marks(figure);
    const [first, last] = [times[0], times[times.length - 1]];
    const whole = [Math.min(first, ...found.map((one) => one.at)), Math.max(last, ...found.map((one) => one.at))];
    // All of it unless somebody has drawn a part out.
    const range = (_, from, to) => (from <= first && to >= last ? whole : [from, to]);
    const plot = new uPlot({
      width: Math.max(260, figure.clientWidth),
      height: 240,
      tzDate: utc,
      cursor: { sync: { key: "together" } },
      scales: { x: { range }, y: figure.dataset.log ? { distr: 3 } : {} },
      axes: [
        { ...axis, values: TIMES, space: days ? 72 : 56 },
        { ...axis, size: 56, values: (_, some) => some.map((one) => (one === null ? "" : COMPACT.format(one))) },
      ],
      series: [{ label: "at", value: (_, at) => (at === null ? "–" : when(utc(at))) }, ...names.map((name, place) => ({
        label: name,
        stroke: colour(`--s${1 + (place % 7)}`),
        width: 1.5,
        spanGaps: false,
        value: (_, one) => (one === null || one === undefined ? "–" : EXACT.format(one)),
        points: { show: times.length < 60, size: 4 },
        ...(figure.dataset.bars
          ? { paths: uPlot.paths.bars({ size: [0.7, 60] }), fill: `${colour(`--s${1 + (place % 7)}`)}66` } : {}),
      }))],
      plugins: found.length ? [marking(found)] : [],
    }, [times, ...lines], room);
    drawn.set(room, plot);
  };

  const drawAll = () => document.querySelectorAll("figure.chart").forEach(draw);

  const offline = (away) => { document.getElementById("offline").hidden = !away; };

  const keys = { o: "/", c: "/captures", v: "/coverage", d: "/dead-letters", l: "/logs", m: "/compare", r: "/replay" };
  let going = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
    if (going && keys[event.key]) location.assign(keys[event.key]);
    going = event.key === "g";
    if (going) setTimeout(() => { going = false; }, 1500);
  });

  document.addEventListener("htmx:before:request", (event) => { if (document.hidden) event.preventDefault(); });
  document.addEventListener("htmx:response:error", () => offline(true));
  document.addEventListener("htmx:error", () => offline(true));
  document.addEventListener("htmx:after:swap", () => offline(false));

  const follow = () => document.querySelectorAll("pre.log").forEach((log) => { log.scrollTop = log.scrollHeight; });
  document.addEventListener("htmx:after:swap", follow);

  let waiting = 0;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(drawAll, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  document.querySelectorAll("select[data-submits]").forEach((one) => {
    one.addEventListener("change", () => one.form.requestSubmit());
  });
  drawAll();
  follow();
})();
