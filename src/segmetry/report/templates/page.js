"use strict";
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", () => {
    const source = document.getElementById(button.dataset.copy);
    const before = button.textContent;
    const done = () => { button.textContent = "Copied"; setTimeout(() => { button.textContent = before; }, 1500); };
    const select = () => { getSelection().selectAllChildren(source); document.execCommand("copy"); done(); };
    if (navigator.clipboard) { navigator.clipboard.writeText(source.textContent).then(done, select); } else { select(); }
  });
}
const enlarge = document.getElementById("enlarge");
if (enlarge) {
  document.getElementById("stage").addEventListener("click", () => { enlarge.checked = !enlarge.checked; });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") { enlarge.checked = false; } });
}
