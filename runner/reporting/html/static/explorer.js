"use strict";
// The list of trials: filtered, searched and sorted over all of them, shown a page at a time.
(() => {
  const data = report.data("trials-data");
  if (!data) return;
  const { element } = report;
  const perPage = 25;
  const at = Object.fromEntries(data.fields.map((name, place) => [name, place]));
  const get = (trial, name) => {
    const value = data.rows[trial][at[name]];
    return name in data.values ? data.values[name][value] : value;
  };
  const form = document.getElementById("filters");
  const body = document.querySelector("#list tbody");
  const filtered = ["model", "persona", "text", "outcome", ...data.factors];
  const state = { trials: data.rows.map((_, place) => place), page: 0, sort: null, down: false, words: "" };

  // ---- filters ----
  for (const name of filtered) {
    const select = form.elements[name];
    data.values[name].forEach((value, code) => select.append(element("option", { value: code }, value === "" ? "none" : String(value))));
  }
  let stacks = null;
  const searchable = () => {
    stacks ??= data.rows.map((_, trial) => [...data.reasons[trial], data.replies[trial]].filter(Boolean).join("\n").toLowerCase());
    return stacks;
  };
  const refresh = () => {
    const wanted = filtered.map((name) => [at[name], form.elements[name].value]).filter(([, value]) => value !== "");
    state.words = form.elements.words.value.trim().toLowerCase();
    const stack = state.words ? searchable() : null;
    state.trials = [];
    for (let trial = 0; trial < data.rows.length; trial += 1) {
      const row = data.rows[trial];
      if (wanted.every(([place, code]) => row[place] === Number(code)) && (!stack || stack[trial].includes(state.words))) state.trials.push(trial);
    }
    if (state.sort) order();
    state.page = 0;
    show();
  };
  const order = () => {
    const { value } = state.sort;
    const sign = state.down ? -1 : 1;
    const keys = new Map(state.trials.map((trial) => [trial, value(trial)]));
    const none = (key) => key === null || key === undefined;
    state.trials.sort((one, other) => {
      const [left, right] = [keys.get(one), keys.get(other)];
      if (none(left) || none(right)) return none(left) - none(right) || one - other; // what has no value comes last
      return (left < right ? -sign : left > right ? sign : 0) || one - other;
    });
  };

  // ---- the list ----
  const columns = [
    { name: "trial", value: (trial) => trial },
    { name: "outcome", value: (trial) => get(trial, "outcome") },
    ...data.questions.map((label, question) => ({ name: label, numeric: true, value: (trial) => data.scores[trial][question] })),
    { name: "s", title: "seconds", numeric: true, value: (trial) => get(trial, "latency_s") },
  ];
  const head = element("tr", { role: "row" });
  columns.forEach((column) => {
    const button = element("button", { type: "button", title: `Sort by ${column.title ?? column.name}` }, column.name);
    const cell = element("th", { scope: "col", role: "columnheader", class: column.numeric ? "n" : "", "aria-sort": "none" }, button);
    button.addEventListener("click", () => {
      state.down = state.sort === column ? !state.down : Boolean(column.numeric);
      state.sort = column;
      for (const other of head.children) other.setAttribute("aria-sort", "none");
      cell.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      for (const [place, other] of columns.entries()) head.children[place].firstChild.textContent = other.name + (other === column ? (state.down ? " ↓" : " ↑") : "");
      order();
      state.page = 0;
      show();
    });
    head.append(cell);
  });
  document.querySelector("#list thead").append(head);

  const marked = (text) => {
    const start = state.words ? text.toLowerCase().indexOf(state.words) : -1;
    if (start < 0) return [text];
    const end = start + state.words.length;
    return [text.slice(0, start), element("mark", {}, text.slice(start, end)), text.slice(end)];
  };
  const snippet = (trial) => {
    const parts = [...data.reasons[trial], data.replies[trial]];
    const text = state.words ? parts.find((part) => part?.toLowerCase().includes(state.words)) : (parts.find(Boolean) ?? get(trial, "problem"));
    if (!text) return null;
    const start = Math.max(0, text.toLowerCase().indexOf(state.words) - 50);
    const part = text.slice(start, start + 150);
    return element("span", { class: "snippet" }, start ? "…" : "", ...marked(part), start + 150 < text.length ? "…" : "");
  };
  const line = (trial, place) => {
    const asked = data.factors.includes("factor:prompt") ? [get(trial, "factor:prompt")] : [];
    const labels = [get(trial, "persona"), get(trial, "text"), ...asked, `№ ${get(trial, "repetition")}`];
    const button = element("button", { type: "button" }, element("b", {}, String(get(trial, "model"))), ` ${labels.join(" · ")}`);
    const cell = (label, value) => element("td", { role: "cell", class: "n", "data-label": label }, value ?? "–");
    // Roles are said: on a phone the rows are cards, and a browser then no longer takes them for a table's.
    return element("tr", { role: "row", onclick: () => open(place) },
      element("th", { scope: "row", role: "rowheader" }, button, snippet(trial)),
      element("td", { role: "cell" }, element("span", { class: `badge ${get(trial, "outcome")}` }, get(trial, "outcome"))),
      ...data.questions.map((label, question) => cell(label, data.scores[trial][question])),
      cell("s", get(trial, "latency_s")?.toFixed(2)));
  };
  const show = () => {
    const pages = Math.max(1, Math.ceil(state.trials.length / perPage));
    const first = state.page * perPage;
    body.replaceChildren(...state.trials.slice(first, first + perPage).map((trial, place) => line(trial, first + place)));
    const all = data.rows.length.toLocaleString("en");
    document.getElementById("found").value = `${state.trials.length.toLocaleString("en")} of ${all} trials`;
    document.getElementById("page").textContent = `${state.page + 1} / ${pages}`;
    document.getElementById("before").disabled = state.page === 0;
    document.getElementById("after").disabled = state.page + 1 >= pages;
    split();
  };
  // Plain means of the trials that the filters leave, level by level of one factor.
  const split = () => {
    const name = form.elements.split.value;
    const place = document.getElementById("split");
    place.hidden = name === "";
    if (place.hidden) return;
    const rows = data.values[name].map((value, code) => {
      const own = state.trials.filter((trial) => data.rows[trial][at[name]] === code);
      const mean = (question) => {
        const scores = own.map((trial) => data.scores[trial][question]).filter((score) => score !== null);
        return scores.length ? (scores.reduce((sum, score) => sum + score, 0) / scores.length).toFixed(1) : "–";
      };
      return [value === "" ? "none" : String(value), own.length, ...data.questions.map((_, question) => mean(question))];
    });
    const line = (cells, tag) => element("tr", {}, ...cells.map((cell, column) => element(column ? tag : "th", { class: column ? "n" : "", scope: tag === "th" ? "col" : column ? "" : "row" }, String(cell))));
    const label = form.elements.split.selectedOptions[0].textContent;
    place.replaceChildren(element("table", { class: "plain" },
      element("caption", {}, `Trials as filtered, by ${label}: plain means of single scores on this page`),
      element("thead", {}, line([label, "trials", ...data.questions], "th")),
      element("tbody", {}, ...rows.filter((row) => row[1]).map((row) => line(row, "td")))));
  };
  const turn = (by) => {
    state.page += by;
    show();
    document.getElementById("trials").scrollIntoView();
  };
  document.getElementById("before").addEventListener("click", () => turn(-1));
  document.getElementById("after").addEventListener("click", () => turn(1));
  form.addEventListener("input", refresh);
  form.addEventListener("reset", () => setTimeout(refresh));
  form.addEventListener("submit", (event) => event.preventDefault());

  // ---- one trial ----
  const dialog = document.getElementById("trial");
  let opened = 0;
  const told = [
    ...data.factors.map((name) => [name.slice("factor:".length), name]),
    ["model id", "model_id"], ["version", "model_version"], ["provider", "provider"], ["vendor", "vendor"], ["route", "route"],
    ["answer", "source"], ["structure", "rung"], ["attempts", "attempts"], ["seconds", "latency_s"], ["tokens in", "input"],
    ["tokens out", "output"], ["cached", "cached"], ["reasoning", "reasoning"], ["USD", "price_usd"], ["time", "time"],
    ["fingerprint", "fingerprint"], ["job", "job"], ["asked for", "requested", true], ["sent", "sent", true], ["changed", "dropped", true], ["key", "key", true],
  ];
  const answers = (trial) => element("div", { class: "answers" }, ...data.questions.map((label, question) => element("div", { class: "answer" },
    element("span", {}, label),
    element("b", {}, data.scores[trial][question] === null ? "–" : String(data.scores[trial][question])),
    element("p", {}, ...marked(data.reasons[trial][question] ?? "no reason")))));
  const prompt = (trial) => JSON.parse(get(trial, "prompt")).flatMap(([role, place]) => [
    element("h3", {}, "Prompt", element("small", {}, role === "note" ? "" : role)),
    element(role === "note" ? "p" : "pre", role === "note" ? { class: "note" } : { tabindex: "0", "aria-label": `Prompt, ${role}` }, data.strings[place]),
  ]);
  const fill = () => {
    const trial = state.trials[opened];
    const problem = get(trial, "problem");
    const facts = told.filter(([, name]) => get(trial, name) !== null && get(trial, name) !== "");
    document.getElementById("trial-title").textContent = [get(trial, "model"), get(trial, "persona"), get(trial, "text"), `№ ${get(trial, "repetition")}`].join(" · ");
    document.getElementById("trial-body").replaceChildren(...[
      problem ? element("p", { class: "alert" }, element("span", { class: `badge ${get(trial, "outcome")}` }, get(trial, "outcome")), ` ${problem}`) : null,
      answers(trial),
      element("h3", {}, "Reply as received"),
      data.replies[trial] === null ? element("p", { class: "note" }, "none") : element("pre", { tabindex: "0", "aria-label": "Reply" }, ...marked(data.replies[trial])),
      ...prompt(trial),
      element("h3", {}, "Metadata"),
      element("dl", { class: "meta" }, ...facts.map(([label, name, broad]) => element("div", { class: broad ? "broad" : "" }, element("dt", {}, label), element("dd", {}, String(get(trial, name)))))),
    ].filter(Boolean));
    document.getElementById("trial-body").scrollTop = 0;
    document.getElementById("trial-before").disabled = opened === 0;
    document.getElementById("trial-after").disabled = opened + 1 >= state.trials.length;
  };
  const open = (place) => {
    opened = place;
    fill();
    dialog.showModal();
  };
  const step = (by) => {
    if (opened + by < 0 || opened + by >= state.trials.length) return;
    opened += by;
    fill();
  };
  document.getElementById("trial-before").addEventListener("click", () => step(-1));
  document.getElementById("trial-after").addEventListener("click", () => step(1));
  document.getElementById("trial-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // the backdrop
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  show();
})();
