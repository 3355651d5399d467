"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const root = document.documentElement;
  for (const element of all(".needs-script")) element.hidden = false;

  // Headings become buttons that sort; rows without a value stay last.
  const sort = (table, head) => {
    const place = head.cellIndex, body = table.tBodies[0];
    const falls = head.getAttribute("aria-sort") === "ascending" || (!head.hasAttribute("aria-sort") && head.dataset.falls === "1");
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falls ? "descending" : "ascending");
    const numeric = head.classList.contains("number"), way = falls ? -1 : 1;
    const value = (row) => {
      const own = row.cells[place].dataset.value;
      return own === undefined || own === "" ? null : numeric ? Number(own) : own;
    };
    const compare = (a, b) => {
      const [one, other] = [value(a), value(b)];
      if (one === null || other === null) return (one === null) - (other === null);
      return way * (numeric ? one - other : one.localeCompare(other, "en", { numeric: true }));
    };
    body.append(...[...body.rows].sort(compare));
  };
  for (const table of all("table.sortable")) {
    for (const head of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.dataset.falls = head.classList.contains("number") && !/^(rank|reconstruction|kl)/.test(head.dataset.name) ? "1" : "";
      button.addEventListener("click", () => sort(table, head));
    }
  }

  // Columns by choice.
  for (const block of all(".block")) {
    const box = block.querySelector(".columns"), tables = all("table.sortable", block);
    const names = [...new Set(all("th.more", block).map((head) => head.dataset.name))];
    for (const name of names) {
      const label = document.createElement("label"), input = document.createElement("input");
      input.type = "checkbox";
      label.append(input, ` ${name}`);
      box.append(label);
      input.addEventListener("change", () => {
        for (const table of tables) {
          const place = [...table.tHead.rows[0].cells].findIndex((head) => head.dataset.name === name);
          if (place < 0) continue;
          for (const row of table.rows) row.cells[place].classList.toggle("shown", input.checked);
        }
      });
    }
  }

  // What is shown: rows and panels of a method, sections of a data set and preset.
  const out = (element, gone) => element.toggleAttribute("data-out", gone);
  const choices = all(".filters select");
  const filter = () => {
    const by = Object.fromEntries(choices.map((choice) => [choice.dataset.by, choice.value]));
    for (const row of all("[data-method]")) out(row, Boolean(by.method && row.dataset.method && row.dataset.method !== by.method));
    for (const block of all(".block")) {
      const differs = (name) => Boolean(by[name] && block.dataset[name] !== by[name]);
      out(block, differs("dataset") || differs("preset"));
    }
  };
  for (const choice of choices) choice.addEventListener("change", filter);

  // Beside a strip of a latent's pictures one is shown after the other, to and fro.
  const MILLISECONDS = 130;
  for (const strip of all(".strip")) {
    const pictures = Number(strip.dataset.pictures), moving = strip.cloneNode();
    moving.className = "moving";
    moving.alt = "";
    moving.style.aspectRatio = strip.getAttribute("width") / pictures / strip.getAttribute("height");
    moving.style.animation = `traverse ${pictures * MILLISECONDS}ms steps(${pictures}, jump-none) infinite alternate`;
    strip.before(moving);
  }

  const pause = document.querySelector(".pause");
  pause.addEventListener("click", () => pause.setAttribute("aria-pressed", String(root.classList.toggle("paused"))));

  // A link to a panel opens it.
  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.tagName === "DETAILS") {
      target.open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", open);
  for (const link of all('a[href^="#"]')) link.addEventListener("click", () => { if (link.hash === location.hash) open(); });
  open();
})();
