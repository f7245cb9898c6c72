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
