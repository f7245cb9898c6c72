"use strict";
(() => {
const $ = (s, e = document) => e.querySelector(s), $$ = (s, e = document) => [...e.querySelectorAll(s)];
const make = (tag, attributes = {}, ...children) => {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.append(...children); // strings become text, never markup
  return e;
};

// Light, dark, or as the system says.
const theme = $("#theme"), themes = ["system", "light", "dark"];
const store = { get() { try { return localStorage.getItem("lcbq-theme"); } catch { return null; } }, set(v) { try { localStorage.setItem("lcbq-theme", v); } catch { /* a private window keeps nothing */ } } };
const dress = (name) => {
  if (name === "system") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = name;
  theme.textContent = "Theme: " + name;
  theme.dataset.now = name;
};
dress(themes.includes(store.get()) ? store.get() : "system");
theme.hidden = false;
theme.addEventListener("click", () => {
  const next = themes[(themes.indexOf(theme.dataset.now) + 1) % themes.length];
  dress(next);
  store.set(next);
});

// What a shape or cell stands for, beside the pointer or the focus.
const tip = $("#tip");
const show = (text, x, y) => {
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(6, Math.min(x + 14, innerWidth - box.width - 6)) + "px";
  tip.style.top = (y + 18 + box.height > innerHeight ? y - box.height - 10 : y + 18) + "px";
};
document.addEventListener("pointermove", (e) => {
  const at = e.target instanceof Element && e.target.closest("[data-tip]");
  if (at && at.dataset.tip) show(at.dataset.tip, e.clientX, e.clientY); else tip.hidden = true;
});
document.addEventListener("keydown", (e) => { if (e.key === "Escape") tip.hidden = true; });

// Tables as CSV, values as exact as they are known.
const csv = (table) => $$("tr", table).map((row, line) => [...row.cells].map((c, i, all) => {
  let v = (c.dataset.v ?? c.textContent).trim();
  if (c.classList.contains("words") && /^[=+\-@\t\r]/.test(v)) v = "'" + v; // a spreadsheet would run it
  const name = (cell) => cell.textContent.replace(/ %$|, points$/, "").replaceAll(", ", "_").replaceAll(" ", "_");
  if (line === 0) v = name(c) + (all.findIndex((o) => name(o) === name(c)) < i ? "_share" : "");
  return /[",\r\n]/.test(v) ? '"' + v.replaceAll('"', '""') + '"' : v;
}).join(",")).join("\r\n") + "\r\n";
const copy = async (text) => {
  try { await navigator.clipboard.writeText(text); return true; } catch { /* no permission, or no such thing */ }
  const area = make("textarea", { class: "hidden", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
};
for (const b of $$(".copy")) {
  b.hidden = false;
  const name = b.textContent;
  b.addEventListener("click", async () => {
    b.textContent = (await copy(csv($("table", b.parentElement)))) ? "Copied" : "Not copied: the browser refuses";
    setTimeout(() => { b.textContent = name; }, 1800);
  });
}

// The samples: one block of data a question, unpacked when it is looked at.
const pickQ = $("#pick-q"), pickT = $("#pick-t"), pickV = $("#pick-v"), list = $("#list"), shown = $("#shown");
const words = (v) => v.replaceAll("_", " ");
const unpack = async (q) => {
  const block = document.getElementById("s" + q);
  if (!block) return [];
  if (typeof DecompressionStream === "undefined") throw new Error("this browser cannot unpack gzip; one of 2023 or later can");
  const bytes = Uint8Array.from(atob(block.textContent.trim()), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
};
let cells = [], turn = 0;
const options = (select, values, keep) => {
  select.replaceChildren(...values.map(([v, text]) => make("option", { value: v }, text)));
  if (values.some(([v]) => v === keep)) select.value = keep;
};
const article = (s) => {
  const head = make("header", {}, make("h3", {}, make("b", {}, words(s.verdict)), " · sample " + s.index));
  const say = (text) => head.append(make("span", {}, text));
  if (s.test != null) say(s.test < 0 ? "failed while loading" : "first failing test: " + s.test);
  if (s.error_code != null) say("official code " + s.error_code);
  if (s.tokens) say(s.tokens + " tokens");
  say(s.cpu_s.toFixed(3) + " s CPU");
  if (s.finish_reason && s.finish_reason !== "stop") say("finished: " + s.finish_reason);
  if (s.seen > 1) say("same program " + s.seen + " times among those looked at");
  const out = make("article", { class: "sample" }, head);
  if (s.detail) out.append(make("pre", { class: "detail", tabindex: "0", "aria-label": "What the judge says" }, s.detail));
  if (s.prose) out.append(make("p", { class: "cut" }, "No program was found; this is the completion:"));
  out.append(make("pre", { tabindex: "0", "aria-label": s.prose ? "Completion" : "Program" }, make("code", {}, (s.prose ? s.completion : s.code) || "(empty)")));
  if (s.cut) out.append(make("p", { class: "cut" }, s.cut + " more bytes are not shown"));
  return out;
};
const render = () => {
  const cell = cells.find((c) => c.t === pickT.value);
  for (const td of $$("#map td[aria-selected=true]")) td.removeAttribute("aria-selected");
  if (!cell) { shown.textContent = "No cell is here."; list.replaceChildren(); return; }
  const samples = cell.s.filter((s) => !pickV.value || s.verdict === pickV.value);
  let text = `${samples.length} of ${cell.n.toLocaleString("en")} samples shown`;
  if (cell.l && cell.l < cell.n) text += `, chosen among ${cell.l.toLocaleString("en")} that were looked at`;
  text += `; ${cell.p.toLocaleString("en")} passed in all.`;
  if (cell.x) text += " Note: " + cell.x + ".";
  shown.textContent = text;
  list.replaceChildren(...samples.map(article));
  const column = [...pickT.options].findIndex((o) => o.value === cell.t);
  const row = $(`#map tr[data-q="${pickQ.value}"]`);
  const heads = $$("#map thead th").slice(1).map((h) => h.textContent.trim());
  if (row && column >= 0) row.cells[heads.indexOf(cell.t) + 1]?.setAttribute("aria-selected", "true");
};
const verdicts = () => {
  const cell = cells.find((c) => c.t === pickT.value);
  const names = [...new Set((cell?.s ?? []).map((s) => s.verdict))];
  options(pickV, [["", "all"], ...names.map((v) => [v, words(v)])], pickV.value);
  render();
};
const load = async (t) => {
  const mine = ++turn;
  try { cells = await unpack(pickQ.value); } catch (e) {
    shown.textContent = "The samples cannot be shown: " + e.message;
    return;
  }
  if (mine !== turn) return; // another question was chosen meanwhile
  options(pickT, cells.map((c) => [c.t, c.t]), t ?? pickT.value);
  verdicts();
};
if (pickQ.options.length > 0) {
  $("#browser").hidden = false;
  pickQ.addEventListener("change", () => load());
  pickT.addEventListener("change", verdicts);
  pickV.addEventListener("change", render);
}
const open = async (q, t) => {
  pickQ.value = q;
  pickV.value = "";
  await load(t);
  $("#samples").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion:reduce)").matches ? "auto" : "smooth" });
};
// Samples are unpacked when they come into sight, not before.
const watch = new IntersectionObserver((entries) => {
  if (entries.some((e) => e.isIntersecting)) { watch.disconnect(); if (turn === 0) load(); }
});
watch.observe($("#samples"));

// The map is one stop for the tab key; arrows walk in it, Enter opens the cell.
const map = $("#map");
if (map) {
  const rows = $$("tbody tr", map).map((r) => [...r.cells].slice(1));
  const where = (td) => { const r = rows.findIndex((row) => row.includes(td)); return [r, rows[r]?.indexOf(td)]; };
  const heads = $$("thead th", map).slice(1).map((h) => h.textContent.trim());
  const activate = (td) => {
    if (!td || td.classList.contains("none")) return;
    const [r, c] = where(td);
    open(map.tBodies[0].rows[r].dataset.q, heads[c]);
  };
  map.setAttribute("role", "grid");
  if (rows[0]?.[0]) rows[0][0].tabIndex = 0;
  map.addEventListener("click", (e) => activate(e.target.closest("tbody td")));
  map.addEventListener("focusin", (e) => {
    const td = e.target.closest("tbody td");
    if (!td) return;
    td.setAttribute("aria-label", td.dataset.tip);
    const box = td.getBoundingClientRect();
    show(td.dataset.tip, box.left, box.bottom - 10);
  });
  map.addEventListener("focusout", () => { tip.hidden = true; });
  map.addEventListener("keydown", (e) => {
    const td = e.target.closest("tbody td");
    if (!td) return;
    const [r, c] = where(td);
    const to = { ArrowRight: [r, c + 1], ArrowLeft: [r, c - 1], ArrowDown: [r + 1, c], ArrowUp: [r - 1, c], Home: [r, 0], End: [r, heads.length - 1] }[e.key];
    if (e.key === "Enter" || e.key === " ") { e.preventDefault(); activate(td); return; }
    const next = to && rows[to[0]]?.[to[1]];
    if (!next) return;
    e.preventDefault();
    td.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}
})();
