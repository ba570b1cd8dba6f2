(() => {
  const frame = document.getElementById("space-frame"), tip = document.getElementById("tip");
  const words = document.getElementById("tip-text"), tile = document.getElementById("tile");
  const show = (event) => {
    const point = event.target.closest(".point");
    if (!point) { tip.hidden = true; return; }
    words.textContent = point.querySelector("title").textContent;
    if (tile) {
      const number = point.dataset.tile;
      tile.hidden = number === "";
      tile.style.backgroundPosition = `${-(number % 20) * 32}px ${-Math.floor(number / 20) * 32}px`;
    }
    const box = frame.getBoundingClientRect();
    tip.hidden = false;
    tip.style.left = Math.max(0, Math.min(event.clientX - box.left + 12, box.width - tip.offsetWidth)) + "px";
    tip.style.top = event.clientY - box.top + 14 + "px";
  };
  frame.addEventListener("pointermove", show);
  frame.addEventListener("pointerdown", show);
  frame.addEventListener("pointerleave", () => { tip.hidden = true; });
})();
