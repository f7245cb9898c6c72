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
