// One cursor through all panels: the values of the second under the pointer stand in the legends.
(() => {
  const series = JSON.parse(document.getElementById("series").textContent);
  const LEFT = 58, RIGHT = 14, WIDTH = 1000;
  const panels = [...document.querySelectorAll(".panel svg")];
  const outputs = [...document.querySelectorAll("output[data-series]")];

  const valueAt = (key, at_s) => {
    if (key.startsWith("samples.")) {
      const past = series.samples[key.slice(8)].filter(([t]) => t <= at_s);
      return past.length ? past[past.length - 1][1] : null;
    }
    return series[key][Math.floor(at_s / series.bin_s)];
  };
  const shown = (key, value) => {
    if (value === null || value === undefined) return "–";
    if (key.startsWith("itl")) return (value * 1000).toFixed(1) + " ms";
    if (key.startsWith("ttft")) return value.toFixed(value < 1 ? 3 : 2) + " s";
    return Number.isInteger(value) ? String(value) : value.toFixed(2);
  };
  const place = (x) => panels.forEach((svg) => {
    const line = svg.querySelector(".cursor");
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
  });
  const clock = document.getElementById("cursor-clock");

  document.querySelector(".panels").addEventListener("pointermove", (event) => {
    const box = panels[0].getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * WIDTH;
    const share = (x - LEFT) / (WIDTH - LEFT - RIGHT);
    if (share < 0 || share > 1) return;
    const at_s = share * series.until_s;
    place(x);
    clock.textContent = at_s.toFixed(1) + " s";
    outputs.forEach((out) => { out.textContent = shown(out.dataset.series, valueAt(out.dataset.series, at_s)); });
  });
  document.querySelector(".panels").addEventListener("pointerleave", () => {
    place(-9999); // off the page: the SVG does not clip
    clock.textContent = "";
    outputs.forEach((out) => { out.textContent = ""; });
  });
})();
