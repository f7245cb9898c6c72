"use strict";
(() => {
const $ = (s, e = document) => e.querySelector(s);
const make = (tag, attributes = {}, ...children) => {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.append(...children); // strings become text, never markup
  return e;
};
const operator = document.body.dataset.operator === "true";

// Light, dark, or as the system says.
const theme = $("#theme"), themes = ["system", "light", "dark"];
const kept = { get() { try { return localStorage.getItem("lcbq-theme"); } catch { return null; } }, set(v) { try { localStorage.setItem("lcbq-theme", v); } catch { /* a private window keeps nothing */ } } };
const dress = (name) => {
  if (name === "system") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = name;
  theme.textContent = "Theme: " + name;
  theme.dataset.now = name;
};
dress(themes.includes(kept.get()) ? kept.get() : "system");
theme.addEventListener("click", () => {
  const next = themes[(themes.indexOf(theme.dataset.now) + 1) % themes.length];
  dress(next);
  kept.set(next);
});

// What a shape stands for, beside the pointer.
const tip = $("#tip");
document.addEventListener("pointermove", (e) => {
  const at = e.target instanceof Element && e.target.closest("[data-tip]");
  tip.hidden = !(at && at.dataset.tip);
  if (tip.hidden) return;
  tip.textContent = at.dataset.tip;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(6, Math.min(e.clientX + 14, innerWidth - box.width - 6)) + "px";
  tip.style.top = (e.clientY + 18 + box.height > innerHeight ? e.clientY - box.height - 10 : e.clientY + 18) + "px";
});

// Numbers as people read them. What is not known is a dash.
const dash = "–";
const whole = (n) => n < 0 ? dash : String(Math.round(n)).replace(/\B(?=(\d{3})+(?!\d))/g, "\u00a0");
const short = (n) => n < 0 ? dash : n === 0 ? "0" : n < 0.01 ? "<0.01" : n < 10 ? n.toFixed(2) : n < 100 ? n.toFixed(1) : whole(n);
const span = (s) => {
  if (s < 0) return dash;
  if (s < 90) return Math.round(s) + " s";
  if (s < 5400) return Math.round(s / 60) + " min";
  if (s < 172800) return (s / 3600).toFixed(1) + " h";
  return (s / 86400).toFixed(1) + " days";
};
const bytes = (b) => b < 0 ? dash : b < 1048576 ? (b / 1024).toFixed(0) + " KiB" : b < 1073741824 ? (b / 1048576).toFixed(0) + " MiB" : (b / 1073741824).toFixed(1) + " GiB";
const percent = (part, all) => all > 0 ? (100 * part / all).toFixed(part === all ? 0 : 1) + " %" : dash;
const text = (id, value) => { const e = document.getElementById(id); if (e.textContent !== value) e.textContent = value; };

// Rows that keep their places: only what differs is written.
const fill = (body, rows) => {
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((r, i) => {
    const row = body.rows[i] ?? body.insertRow();
    row.className = r.mark ?? "";
    r.fields.forEach((f, j) => {
      const cell = row.cells[j] ?? row.insertCell();
      const [value, kind] = Array.isArray(f) ? f : [f, ""];
      if (cell.textContent !== value) { cell.textContent = value; cell.title = kind === "words" ? value : ""; }
      if (cell.className !== kind) cell.className = kind;
    });
  });
};

// The grid of cells. It is made once and keeps its places.
let grid = null, fields = [], picked = -1;
const step = (n, c) => {
  if (c === 0) return 0;
  if (c === n) return 7;
  const r = c / n;
  return r < 0.001 ? 1 : r < 0.01 ? 2 : r < 0.1 ? 3 : r < 0.5 ? 4 : r < 0.9 ? 5 : 6;
};
const paint = (e, n, c, all, fresh) => {
  e.className = n === 0 ? "" : "h" + step(n, c) + (n < all ? " part" : "") + (fresh ? " fresh" : "");
};
const place = (i) => { const k = grid.temperatures.length; return [Math.floor(i / k), i % k]; };
const told = (i) => {
  const [q, t] = place(i), question = grid.questions[q], [n, c] = question.cells[t];
  const what = question.title + (question.difficulty ? " (" + question.difficulty + ")" : "") + ", T " + grid.temperatures[t] + ": ";
  return what + (n === 0 ? "nothing yet of " + whole(question.n) + " samples" : whole(c) + " of " + whole(n) + " passed, " + percent(c, n) + (n < question.n ? "; " + whole(question.n) + " are wanted" : ""));
};
const lay = (g) => {
  grid = g;
  const box = $("#grid"), k = g.temperatures.length, made = document.createDocumentFragment();
  fields = [];
  g.questions.forEach((q, i) => q.cells.forEach(([n, c], t) => {
    const e = make("i", { role: "gridcell", tabindex: fields.length === 0 ? "0" : "-1" });
    e.dataset.i = String(fields.length);
    paint(e, n, c, q.n, false);
    fields.push(e);
    made.append(e);
  }));
  box.style.setProperty("--rows", String(Math.max(1, k)));
  box.replaceChildren(made);
  $("#grid-labels").replaceChildren(...g.temperatures.map((t) => make("span", {}, t.toFixed(t * 10 % 1 > 0.001 ? 2 : 1))));
};
const say = (e) => {
  const at = e.target instanceof Element && e.target.closest("#grid>i");
  if (!at) return;
  picked = +at.dataset.i;
  text("cell", told(picked));
};
$("#grid").addEventListener("pointerover", say);
$("#grid").addEventListener("focusin", say);
$("#grid").addEventListener("click", (e) => { say(e); if (e.target.closest("#grid>i")) samples(picked); });
$("#grid").addEventListener("keydown", (e) => {
  if ((e.key === "Enter" || e.key === " ") && picked >= 0) { e.preventDefault(); samples(picked); return; }
  const k = grid.temperatures.length, across = getComputedStyle($("#grid")).gridAutoFlow.startsWith("column");
  const moves = across ? { ArrowDown: 1, ArrowUp: -1, ArrowRight: k, ArrowLeft: -k } : { ArrowRight: 1, ArrowLeft: -1, ArrowDown: k, ArrowUp: -k };
  const next = picked + (moves[e.key] ?? 0);
  if (!(e.key in moves) || next < 0 || next >= fields.length) return;
  e.preventDefault();
  fields[picked].tabIndex = -1;
  fields[next].tabIndex = 0;
  fields[next].focus();
});

// Some samples of a cell. They are read when they are asked for, and stay as they were then.
let asked = -1;
const samples = async (i) => {
  const [q, t] = place(i), question = grid.questions[q];
  asked = i;
  $("#cell-box").hidden = false;
  text("cell-h", question.title + ", T " + grid.temperatures[t]);
  text("cell-note", "reading …");
  $("#cell-list").replaceChildren();
  try {
    const answer = await fetch("/api/samples?" + new URLSearchParams({ run, question: question.question_idx, temperature: grid.temperatures[t] }));
    if (!answer.ok) throw new Error((await answer.text()).split("\n")[0]);
    const got = await answer.json();
    if (asked !== i) return; // another cell was asked for meanwhile
    text("cell-note", got.note || whole(got.passed) + " of " + whole(got.n) + " passed. " + whole(got.samples.length) + " samples are shown, some of each verdict, of " + whole(got.looked) + " that were looked at.");
    $("#cell-list").replaceChildren(...got.samples.map((s) => {
      const why = [s.test === null ? "" : "test " + s.test, s.detail ?? ""].filter((x) => x).join(": ");
      const more = ["sample " + s.index, s.tokens + " tokens", s.cpu_s.toFixed(2) + " s CPU", s.seen > 1 ? s.seen + " alike" : ""].filter((x) => x).join(", ");
      return make("details", {}, make("summary", {}, make("b", {}, s.verdict.replaceAll("_", " ")), " " + more + (why ? " · " + why.split("\n")[0] : "")),
        make("pre", {}, (s.prose ? "No program was found in this completion:\n\n" : "") + s.text + (s.cut ? "\n… " + whole(s.cut) + " bytes more" : "")));
    }));
  } catch (e) {
    if (asked === i) text("cell-note", "not read: " + e.message);
  }
};
$("#cell-close").addEventListener("click", () => { asked = -1; $("#cell-box").hidden = true; });

// Findings: what is wrong and what to type.
const findings = (all) => {
  const key = JSON.stringify(all), box = $("#findings");
  if (box.dataset.key === key) return;
  box.dataset.key = key;
  box.replaceChildren(...all.map((f) => {
    const e = make("div", { class: f.grave ? "finding grave" : "finding" }, make("p", {}, make("b", {}, f.text)));
    if (f.remedy) e.append(make("p", {}, f.remedy));
    if (f.command) {
      const copy = make("button", { type: "button", class: "quiet" }, "Copy");
      copy.addEventListener("click", async () => { try { await navigator.clipboard.writeText(f.command); copy.textContent = "Copied"; } catch { copy.textContent = "Not copied"; } });
      e.append(make("p", { class: "type" }, make("code", {}, f.command), copy));
    }
    return e;
  }));
};

// Units given up: read when their number changes.
let deadKey = "", run = "";
const dead = async (s) => {
  const n = s.units.dead, key = s.run.id + " " + n;
  $("#dead-section").hidden = n === 0;
  if (n === 0) { deadKey = ""; return; }
  if (key === deadKey) return;
  deadKey = key;
  try {
    const answer = await fetch("/api/dead?run=" + encodeURIComponent(s.run.id));
    if (!answer.ok) throw new Error(String(answer.status));
    const list = await answer.json();
    text("dead-note", list.all === 1 ? "1 unit was given up after several tries." : whole(list.all) + " units were given up after several tries" + (list.units.length < list.all ? "; the first " + list.units.length + " are shown." : "."));
    fill($("#dead tbody"), list.units.map((d) => ({ fields: [[d.subject, "words"], [(d.reason + ": " + d.error).split("\n")[0], "words"], String(d.deliveries), [d.worker || dash, "words"], ["", "act"]] })));
    if (operator) {
      list.units.forEach((d, i) => {
        const b = make("button", { type: "button", class: "quiet" }, "Put back");
        b.addEventListener("click", () => requeue([d.subject], b));
        $("#dead tbody").rows[i].cells[4].replaceChildren(b);
      });
      $("#requeue-all").hidden = false;
    }
  } catch { deadKey = ""; } // it is asked again with the next state
};
const requeue = async (subjects, button) => {
  if (button) button.disabled = true;
  try {
    const answer = await fetch("/api/dead/requeue", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ run, subjects }) });
    if (!answer.ok) throw new Error((await answer.text()).split("\n")[0]);
    const done = await answer.json();
    text("requeue-said", done.requeued + (done.requeued === 1 ? " unit" : " units") + " put back" + (done.errors.length ? "; " + done.errors[0] : ""));
  } catch (e) {
    text("requeue-said", "not put back: " + e.message);
    if (button) button.disabled = false;
  }
};
$("#requeue-all").addEventListener("click", () => requeue([], null));

// One state of the run.
const state = (s) => {
  run = s.run.id;
  $("#simulated").hidden = s.run.engine !== "sim";
  text("title", (s.run.model || s.run.engine) + ": " + s.run.state);
  text("scope", "run " + s.run.id + " · engine " + s.run.engine + " · judge " + s.run.judge + " · " + s.questions_text);
  const share = s.run.samples.all ? s.run.samples.done / s.run.samples.all : 0;
  document.title = (s.findings.some((f) => f.grave) ? "! " : "") + Math.floor(100 * share) + " % lcbq";
  $("#done-bar").style.width = (100 * share) + "%";
  text("samples", percent(s.run.samples.done, s.run.samples.all));
  text("samples-more", whole(s.run.samples.done) + " of " + whole(s.run.samples.all) + ", " + whole(s.run.cells.done) + " of " + whole(s.run.cells.all) + " cells");
  if (s.time_left) {
    text("left", span(s.time_left.seconds));
    text("left-more", span(s.time_left.low_s) + " to " + span(s.time_left.high_s) + ", if the workers stay");
  } else {
    text("left", s.run.finished_ms ? "done" : dash);
    text("left-more", s.run.finished_ms ? "" : "not known yet");
  }
  text("passed", percent(s.run.samples_passed, s.run.samples.done));
  text("passed-name", s.run.finished_ms ? "Passed" : "Passed so far");
  $("#dashed").hidden = s.run.cells.done === s.run.cells.all;
  text("curve-h", "pass@1 over temperature" + (s.run.finished_ms ? "" : ", so far"));
  text("workers-h", s.workers.length > 1 ? whole(s.workers.length) + " workers" : "Workers");
  text("passed-more", "of the samples in finished cells");
  const slowest = s.stages.filter((x) => x.backlog_s > 0).sort((a, b) => b.backlog_s - a.backlog_s)[0];
  const still = s.stages.find((x) => x.waiting > 0 && x.backlog_s < 0); // nobody has settled any of it lately
  if (s.run.finished_ms || !slowest && !still) {
    text("slowest", dash);
    text("slowest-more", "nothing waits");
  } else if (still) {
    text("slowest", still.stage);
    text("slowest-more", whole(still.waiting) + " units wait, none is done");
  } else {
    text("slowest", slowest.stage);
    text("slowest-more", span(slowest.backlog_s) + " of work at " + short(slowest.units_per_s_1m) + " units/s");
  }
  findings(s.findings);
  fill($("#stages tbody"), s.stages.map((x) => ({ fields: [x.stage, whole(x.waiting), whole(x.in_flight), short(x.units_per_s_1m), short(x.units_per_s_15m),
    x.trend_per_s > 0.005 ? "+" + short(x.trend_per_s) + "/s" : x.trend_per_s < -0.005 ? "−" + short(-x.trend_per_s) + "/s" : "steady", span(x.backlog_s), String(x.workers)] })));
  fill($("#workers tbody"), s.workers.map((w) => ({
    mark: w.state === "silent" || w.state === "ended" ? "bad" : w.slow ? "slow" : "",
    fields: [[w.stage + " " + w.name, "words"], [w.trouble && w.state === "working" ? "waits: " + w.trouble.text : w.state + (w.slow ? ", slow" : "") + (w.trouble ? ": " + w.trouble.text : ""), "words"], whole(w.programs_at_once), short(w.units_per_s_1m), whole(w.units), whole(w.samples), whole(w.samples_from_cache), whole(w.units_given_back), span(w.last_sign_s)],
  })));
  $("#cards-section").hidden = s.gpus.length === 0;
  const engines = (c, f) => s.workers.filter((w) => w.engine && w.host === c.host && c.workers.includes(w.name)).reduce((n, w) => n + f(w.engine), 0);
  fill($("#cards tbody"), s.gpus.map((c) => ({ fields: [[c.host + " " + c.index + " " + c.name, "words"], c.utilization < 0 ? dash : c.utilization + " %", bytes(c.memory_used) + " of " + bytes(c.memory_total), c.power_w < 0 ? dash : Math.round(c.power_w) + " W",
    c.temperature_c < 0 ? dash : String(c.temperature_c), c.idle_share < 0 ? dash : percent(c.idle_share, 1), String(c.engines), whole(engines(c, (e) => e.running)), whole(engines(c, (e) => e.waiting))] })));
  const names = [s.run, ...s.other_runs], list = $("#runs"), key = names.map((r) => r.id).join();
  $("#others").hidden = names.length < 2;
  if (list.dataset.key !== key) {
    list.dataset.key = key;
    list.replaceChildren(...names.map((r) => make("option", { value: r.id }, r.id)));
  }
  dead(s);
};

// The stream. It comes back by itself, also after the server's restart; the ages it shows are this page's own, not
// those of the machine's clock.
const live = $("#live");
let heard = 0, version = "", broken = "", source = null;
const connect = () => {
  const wanted = new URLSearchParams(location.search).get("run");
  source = new EventSource("/api/events" + (wanted ? "?run=" + encodeURIComponent(wanted) : ""));
  const on = (name, f) => source.addEventListener(name, (e) => {
    try { f(JSON.parse(e.data)); } catch (err) { broken = "this page could not show it: " + err.message; return; }
    heard = performance.now();
  });
  on("hello", (v) => { if (version && version !== v) location.reload(); version = v; });
  on("grid", (g) => lay(g));
  on("cells", (changes) => changes.forEach(([q, t, n, c]) => {
    grid.questions[q].cells[t] = [n, c];
    const i = q * grid.temperatures.length + t;
    paint(fields[i], n, c, grid.questions[q].n, true);
    if (i === picked) text("cell", told(i));
  }));
  on("curve", (c) => { $("#curve-section").hidden = c.wide === ""; $("#curve").innerHTML = c.wide + c.narrow; });
  on("state", (s) => { broken = ""; s.questions_text = grid ? grid.questions.length + " questions × " + grid.temperatures.length + " temperatures" : ""; state(s); });
  on("trouble", (t) => { broken = t.text; });
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself
    setTimeout(connect, 3000); // the server refused: it is full, or another program has its port
  });
};
$("#runs").addEventListener("change", (e) => { location.search = "?run=" + encodeURIComponent(e.target.value); });
setInterval(() => {
  const age = (performance.now() - heard) / 1000, on = heard > 0 && age < 20 && source.readyState === EventSource.OPEN;
  live.className = on && !broken ? "live on" : "live off";
  text("live", broken && on ? broken : on ? "live" : heard === 0 ? "connecting …" : "no connection for " + span(age) + ": these are old numbers; it is tried again");
  if (heard === 0 && age < 10) live.className = "live";
}, 500);
connect();
})();
