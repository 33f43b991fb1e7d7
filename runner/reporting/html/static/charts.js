"use strict";
// Charts, drawn by Observable Plot as wide as their place is, again when it changes. Every number comes with the page.
(() => {
  const data = report.data("charts-data");
  const figures = [...document.querySelectorAll("figure.chart")];
  if (!data || !figures.length) return;
  const { models, personas, questions } = data;
  const named = 8;
  const shades = personas.length <= named ? personas.map((_, at) => `var(--c${at})`)
    : d3.quantize((share) => d3.interpolateRainbow(share), personas.length + 1).slice(0, -1);
  const colour = { type: "ordinal", domain: personas.map((_, at) => at), range: shades };
  const number = (value) => (value === null ? "–" : Math.abs(value) >= 100 ? value.toFixed(0) : String(+value.toPrecision(3)));

  for (const legend of document.querySelectorAll(".legend.personas")) {
    personas.forEach((name, at) => {
      const swatch = report.element("i", { "aria-hidden": "true" });
      swatch.style.background = shades[at];
      legend.append(report.element("li", {}, swatch, name));
    });
  }

  // A long name must not take the chart's room: it is cut in the axis and whole in the tip.
  // Cut at its end, or, where that makes two names alike, elsewhere: models of one family often differ at their ends.
  const cut = (name, most, kept) =>
    name.length > most ? `${name.slice(0, kept)}…${name.slice(name.length - (most - 1 - kept))}` : name;
  const short = (name, most, names) => {
    const places = [most - 1, Math.ceil(most / 2) - 1, Math.ceil(most / 4)];
    const alone = (kept) => names.filter((other) => cut(other, most, kept) === cut(name, most, kept)).length === 1;
    return cut(name, most, places.find(alone) ?? places[0]);
  };
  const frame = (width, rows, height, names) => {
    const longest = Math.max(...names.map((name) => name.length), 1);
    const most = width < 460 ? 17 : 28;
    const left = Math.min(longest, most) * 6.8 + 14;
    return {
      className: "drawn",
      width,
      height: rows * height + (rows > 12 ? 56 : 36),
      marginLeft: left,
      marginRight: 14,
      marginTop: rows > 12 ? 26 : 6,
      marginBottom: 28,
      style: { fontSize: "12px" },
      axis: rows > 12 ? "both" : "bottom",
      label: (at) => short(names[at], most, names),
    };
  };

  const draw = {
    counts(width, at) {
      const [, , low, high] = questions[at];
      const step = (high - low) / data.bins;
      // Each model fills its own row: what is compared is the shape, and some have fewer trials.
      const most = d3.rollup(d3.flatRollup(data.counts[at], (same) => d3.sum(same, (each) => each[3]), (each) => each[0], (each) => each[2]), (bins) => d3.max(bins, (bin) => bin[2]), (bin) => bin[0]);
      const rows = data.counts[at].map(([model, persona, bin, count]) => ({ model, persona, count, share: count / most.get(model), from: low + bin * step, to: low + (bin + 1) * step }));
      const place = frame(width, models.length, 52, models);
      return {
        ...place,
        color: colour,
        x: { domain: [low, high], label: null, axis: place.axis },
        y: { axis: null, domain: [0, 1], insetTop: 6 },
        fy: { type: "band", domain: d3.range(models.length), tickFormat: place.label, label: null, axis: "left", tickSize: 0 },
        marks: [
          Plot.ruleY([0], { stroke: "var(--line)" }),
          Plot.rectY(rows, Plot.stackY({
            x1: "from", x2: "to", y: "share", fy: "model", fill: "persona", insetLeft: 0.5, insetRight: 0.5,
            title: (row) => `${models[row.model]} as ${personas[row.persona]}\n${number(row.from)} to ${number(row.to)}: ${row.count} trials`,
            tip: true,
          })),
        ],
      };
    },
    means(width, at) {
      const [, , low, high] = questions[at];
      const rows = data.means[at].map(([model, persona, mean, from, to, n]) => ({ model, persona, mean, from, to, n }));
      const place = frame(width, models.length, Math.max(34, personas.length * 12), models);
      const title = (row) => `${models[row.model]} as ${personas[row.persona]}\nmean ${number(row.mean)}\n95% interval ${number(row.from)} to ${number(row.to)}\n${row.n} scored`;
      return {
        ...place,
        color: colour,
        x: { domain: [low, high], label: null, grid: true, axis: place.axis },
        y: { type: "point", domain: d3.range(personas.length), axis: null, padding: 0.6 },
        fy: { type: "band", domain: d3.range(models.length), tickFormat: place.label, label: null, axis: "left", tickSize: 0, padding: 0.12 },
        marks: [
          Plot.ruleY(rows.filter((row) => row.from !== null), { y: "persona", fy: "model", x1: "from", x2: "to", stroke: "persona", strokeWidth: 3, strokeOpacity: 0.45, strokeLinecap: "round" }),
          Plot.dot(rows, { y: "persona", fy: "model", x: "mean", fill: "persona", r: 4.5, stroke: "var(--card)", strokeWidth: 1.2, title, tip: true }),
        ],
      };
    },
    noise(width, at) {
      const rows = data.noise[at].map(([model, persona, text, sd, mean, n]) => ({ model, persona, text, sd, mean, n }));
      const place = frame(width, models.length, 34, models);
      const title = (row) => `${models[row.model]} as ${personas[row.persona]}, ${data.texts[row.text]}\nsd ${number(row.sd)} over ${row.n} repetitions, mean ${number(row.mean)}`;
      return {
        ...place,
        color: colour,
        x: { label: null, grid: true, zero: true, nice: true, axis: place.axis },
        y: { type: "band", domain: d3.range(models.length), tickFormat: place.label, label: null, tickSize: 0 },
        marks: [
          Plot.ruleX([0], { stroke: "var(--line)" }),
          Plot.dot(rows, { y: "model", x: "sd", fill: "persona", fillOpacity: 0.75, r: 4, title, tip: true }),
          Plot.tickX(rows, Plot.groupY({ x: "median" }, { y: "model", x: "sd", stroke: "currentColor", strokeWidth: 2 })),
        ],
      };
    },
    speed(width) {
      const rows = data.speed.filter((row) => row[1] !== null).map(([name, mean, most]) => ({ name, mean, most }));
      const place = frame(width, rows.length, 30, rows.map((row) => row.name));
      return {
        ...place,
        x: { label: null, grid: true, zero: true, nice: true, axis: place.axis },
        y: { type: "point", domain: d3.range(rows.length), tickFormat: place.label, label: null, tickSize: 0 },
        marks: [
          Plot.ruleY(rows, { y: (_, index) => index, x1: "mean", x2: "most", stroke: "var(--c6)", strokeWidth: 3, strokeOpacity: 0.5, strokeLinecap: "round" }),
          Plot.dot(rows, { y: (_, index) => index, x: "mean", fill: "var(--c6)", r: 5, title: (row) => `${row.name}\nmean ${number(row.mean)} s\n95% within ${number(row.most)} s`, tip: true }),
        ],
      };
    },
    price(width) {
      const rows = data.speed.filter((row) => row[3] !== null).map(([name, , , price]) => ({ name, price }));
      const place = frame(width, rows.length, 30, rows.map((row) => row.name));
      return {
        ...place,
        marginRight: 64,
        x: { label: null, grid: true, zero: true, tickFormat: (value) => `$${number(value)}`, ticks: Math.max(2, width / 110) },
        y: { type: "band", domain: d3.range(rows.length), tickFormat: place.label, label: null, tickSize: 0, padding: 0.35 },
        marks: [
          Plot.barX(rows, { y: (_, index) => index, x: "price", fill: "var(--c0)", rx2: 4 }),
          Plot.text(rows, { y: (_, index) => index, x: "price", text: (row) => `$${number(row.price)}`, textAnchor: "start", dx: 6 }),
        ],
      };
    },
  };

  const render = (figure) => {
    const place = figure.querySelector(".plot");
    const width = Math.floor(place.getBoundingClientRect().width);
    if (!width || place.dataset.width === String(width)) return;
    place.dataset.width = String(width);
    const { label, axis, ...options } = draw[figure.dataset.chart](width, Number(figure.dataset.question));
    const drawn = Plot.plot({ ...options, ariaLabel: figure.dataset.label });
    drawn.setAttribute("role", "img");
    // Plot names its groups, which the role does not allow: the picture has one name, and the tables its numbers.
    for (const group of drawn.querySelectorAll("g[aria-label]")) group.removeAttribute("aria-label");
    place.replaceChildren(drawn);
  };
  const watch = new ResizeObserver((entries) => {
    requestAnimationFrame(() => entries.forEach((entry) => render(entry.target)));
  });
  for (const figure of figures) {
    render(figure);
    watch.observe(figure);
  }
})();
