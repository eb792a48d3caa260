const figures = document.getElementById("figures");
const stale = document.getElementById("stale");

// A table that is wider than the page can be scrolled, also by keyboard: where it was is kept.
function replaceFigures(html) {
  const before = [...figures.querySelectorAll("[tabindex]")];
  const focused = before.indexOf(document.activeElement);
  const scrolled = before.map((table) => table.scrollLeft);
  figures.innerHTML = html;
  figures.querySelectorAll("[tabindex]").forEach((table, index) => {
    table.scrollLeft = scrolled[index] ?? 0;
    if (index === focused) table.focus({ preventScroll: true });
  });
}

async function update() {
  try {
    const answer = await fetch("/figures", { cache: "no-store", signal: AbortSignal.timeout(4000) });
    if (!answer.ok) throw new Error(answer.statusText);
    replaceFigures(await answer.text());
    stale.hidden = true;
  } catch {
    stale.hidden = false;
  }
  setTimeout(update, 2000);
}
setTimeout(update, 2000);
