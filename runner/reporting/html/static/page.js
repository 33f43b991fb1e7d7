"use strict";
// The page itself: colours, tips, copying, printing. Names and replies enter the page as text, never as markup.
const report = {
  element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "class") made.className = value;
      else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else made.setAttribute(name, value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  },
  data(id) {
    const found = document.getElementById(id);
    return found ? JSON.parse(found.textContent) : null;
  },
};

(() => {
  const modes = [
    ["Auto", "light dark", "as the system has them"],
    ["Light", "light", "light"],
    ["Dark", "dark", "dark"],
  ];
  const button = document.getElementById("theme");
  let mode = 0;
  button.addEventListener("click", () => {
    mode = (mode + 1) % modes.length;
    const [name, scheme, said] = modes[mode];
    document.documentElement.style.colorScheme = scheme;
    button.textContent = name;
    button.setAttribute("aria-label", `Colours: ${said}`);
  });
})();

(() => {
  const tip = document.getElementById("tip");
  let shown = null;
  const hide = () => {
    tip.hidden = true;
    shown = null;
  };
  const show = (target) => {
    shown = target;
    tip.textContent = target.dataset.tip;
    tip.hidden = false;
    const place = target.getBoundingClientRect();
    const { width, height } = tip.getBoundingClientRect();
    const left = Math.min(Math.max(place.left + place.width / 2 - width / 2, 12), innerWidth - width - 12);
    const above = place.top - height - 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 60 ? above : place.bottom + 8}px`;
  };
  const of = (event) => (event.target instanceof Element ? event.target.closest("[data-tip]") : null);
  document.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "mouse") return;
    const target = of(event);
    if (target) show(target);
    else hide();
  });
  document.addEventListener("click", (event) => {
    const target = of(event);
    if (target && target !== shown) show(target);
    else if (!target) hide();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  document.addEventListener("scroll", hide, { passive: true, capture: true });
})();

document.getElementById("copy").addEventListener("click", async (event) => {
  const command = document.getElementById("command");
  getSelection().selectAllChildren(command);
  try {
    await navigator.clipboard.writeText(command.textContent);
    event.target.textContent = "Copied";
  } catch {
    event.target.textContent = "Selected"; // a page opened from a file may not write to the clipboard
  }
});

addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
