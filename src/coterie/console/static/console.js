// Live parts over server-sent events, forms without reloads, plots, the scrubber, and keys.
(function () {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const body = document.body;
  let query = body.dataset.query;
  let stream = null, retry = 1000, timer = 0, asked = 0;

  // Parts.

  const morphing = {
    morphStyle: "innerHTML",
    ignoreActiveValue: true,
    callbacks: {
      beforeNodeMorphed: (before) => !(before.dataset && "keep" in before.dataset),
      beforeAttributeUpdated: (name, element) =>
        !(name === "open" && element.tagName === "DETAILS") && !(name === "checked" && element.type === "checkbox"),
    },
  };

  function show(parts) {
    for (const [id, html] of Object.entries(parts)) {
      const place = document.getElementById(id);
      if (!place) continue;
      const chosen = new Set($$("input[type=checkbox]:checked", place).map((box) => box.value));
      Idiomorph.morph(place, html, morphing);
      for (const box of $$("input[type=checkbox]", place)) box.checked = chosen.has(box.value);
    }
    draw();
    follow();
  }

  function say(state, text) {
    const place = $("#connection");
    place.className = "connection " + state;
    place.textContent = text;
  }

  function open() {
    close();
    if (!body.dataset.live || document.hidden) return;
    stream = new EventSource(body.dataset.live + "stream?" + query);
    stream.onopen = () => { retry = 1000; say("on", "live"); };
    stream.onmessage = (event) => show(JSON.parse(event.data));
    stream.onerror = () => { close(); say("off", "no connection"); look(); };
  }

  function close() {
    clearTimeout(timer);
    if (stream) stream.close();
    stream = null;
  }

  // The server is gone, or another has its address: ask until it answers, ever more seldom.
  function look() {
    timer = setTimeout(async () => {
      try {
        const answer = await fetch(body.dataset.live + "parts?" + query, { headers: { accept: "application/json" } });
        const found = await answer.json();
        if (answer.ok) { show(found); open(); return; }
        show({ problem: "" });
        $("#problem").textContent = found.message;
        if (answer.status === 401) { say("off", "new link needed"); return; }
      } catch (error) { /* not there yet */ }
      retry = Math.min(retry * 1.5, 15000);
      look();
    }, retry);
  }

  async function ask(changes) {
    const values = new URLSearchParams(query);
    for (const [name, value] of changes) {
      if (value === "" || value === null) values.delete(name); else values.set(name, value);
    }
    query = values.toString();
    history.replaceState(null, "", body.dataset.here + (query ? "?" + query : ""));
    const mine = ++asked;
    close();
    try {
      const answer = await fetch(body.dataset.live + "parts?" + query, { headers: { accept: "application/json" } });
      const found = await answer.json();
      if (mine !== asked) return;
      if (answer.ok) show({ ...found, problem: "" }); else toast(found.message, false);
    } catch (error) { toast("The console does not answer.", false); }
    open();
  }

  // Forms.

  function toast(text, done) {
    const item = document.createElement("p");
    item.textContent = text;
    item.className = done ? "good" : "bad";
    $("#toasts").append(item);
    setTimeout(() => item.remove(), 6000);
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (form.matches("[data-parts]")) {
      event.preventDefault();
      ask(new FormData(form));
    } else if (form.method === "post") {
      event.preventDefault();
      if (form.dataset.confirm && !window.confirm(form.dataset.confirm)) return;
      const button = event.submitter;
      if (button) button.disabled = true;
      try {
        const fields = new URLSearchParams(new FormData(form));
        if (button && button.name) fields.set(button.name, button.value);
        const answer = await fetch(form.action, { method: "POST", body: fields, headers: { accept: "application/json" } });
        const found = await answer.json();
        toast(found.message, found.done);
        if (body.dataset.live) ask([]);
      } catch (error) { toast("The console does not answer.", false); }
      if (button) button.disabled = false;
    }
  });

  let waiting = 0, scrubbing = false;
  document.addEventListener("input", (event) => {
    const form = event.target.form;
    if (!form || !form.matches("[data-parts]")) return;
    if (event.target.type === "range") {
      $("#round-text").textContent = event.target.value;
      for (const other of $$("input[type=hidden][name=round]")) other.value = event.target.value;
    }
    // The values of now: an update that comes meanwhile moves the slider to the newest moment.
    const values = new FormData(form);
    scrubbing = event.target.type === "range";
    clearTimeout(waiting);
    waiting = setTimeout(() => { scrubbing = false; ask(values); }, scrubbing ? 60 : 250);
  });

  // The scrubber.

  function follow() {
    const slider = $("#round"), last = $("#live_last");
    if (!slider || !last) return;
    slider.max = last.textContent;
    if (!scrubbing && !new URLSearchParams(query).get("round")) {
      slider.value = slider.max;
      $("#round-text").textContent = "now";
    }
  }

  function now() {
    for (const other of $$("input[type=hidden][name=round]")) other.value = "";
    ask([["round", ""]]);
  }

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-now]")) now();
    if (event.target.closest("#theme")) theme();
  });

  // Plots.

  const drawn = new Map();
  const colours = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const figure = (value) => value === null || value === undefined ? "-" : String(+value.toPrecision(5));

  function draw(again = false) {
    for (const [id, plot] of drawn) {
      if (!plot.place.isConnected) { plot.chart.destroy(); drawn.delete(id); }
    }
    for (const script of $$("script[data-plot]")) {
      const place = document.getElementById(script.dataset.plot);
      const text = script.textContent, before = drawn.get(place.id);
      if (before && before.text === text && !again) continue;
      const plot = JSON.parse(text), names = plot.names.join("\n");
      if (before && before.names === names && !again) {
        before.chart.setData([plot.x, ...plot.series]);
        before.text = text;
        continue;
      }
      if (before) { before.chart.destroy(); place.textContent = ""; }
      const ink = colours("--muted"), rule = colours("--rule");
      const axis = { stroke: ink, grid: { stroke: rule, width: 1 }, ticks: { stroke: rule, width: 1 }, font: "11px system-ui" };
      const chart = new uPlot({
        width: place.clientWidth || 300,
        height: 190,
        cursor: { points: { size: 6 } },
        legend: { live: true, isolate: true },
        scales: { x: { time: false }, y: { range: (u, low, high) => low === high ? [low - 1, high + 1] : [Math.min(0, low), high + (high - Math.min(0, low)) * 0.06] } },
        axes: [{ ...axis, size: 30 }, { ...axis, size: 46 }],
        series: [{ label: plot.label, value: (u, v) => figure(v ?? u.data[0][u.data[0].length - 1]) }, ...plot.names.map((name, place) => ({
          label: name, value: (u, v, line) => figure(v ?? u.data[line][u.data[line].length - 1]), stroke: colours("--c" + (place % 10)), width: 1.75, points: { show: plot.x.length < 40, size: 4 },
        }))],
      }, [plot.x, ...plot.series], place);
      drawn.set(place.id, { chart, place, text, names });
    }
  }

  new ResizeObserver(() => {
    const active = $(".top nav [aria-current]");
    if (active) active.parentElement.scrollLeft = active.offsetLeft - active.parentElement.offsetLeft - 16;
    for (const plot of drawn.values()) plot.chart.setSize({ width: plot.place.clientWidth || 300, height: 190 });
  }).observe(body);

  // The theme, and keys.

  function theme() {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("coterie-theme", root.dataset.theme); } catch (error) { /* it holds for this page */ }
    draw(true);
  }

  const press = (path) => { const button = $(`form[action$="${path}"] button`); if (button) button.click(); return !!button; };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    if (event.key === "d") theme();
    else if (event.key === "n") now();
    else if (event.key === "p") press("/go-on") || press("/pause");
    else if (event.key === "s") press("/step");
    else if (event.key === "/") { const field = $("form[data-parts] input:not([type=hidden]):not([type=range])"); if (field) field.focus(); event.preventDefault(); }
  });

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(true));
  document.addEventListener("visibilitychange", () => document.hidden ? close() : open());
  draw();
  follow();
  open();
})();
