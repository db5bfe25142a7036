// The settings of sampling, as chat and compare have them.

const ids = { temperature: "temperature", top_k: "top-k", top_p: "top-p", max_new_tokens: "max-new-tokens" };

// What the person has chosen, as numbers. Without a seed of one's own every question gets another one.
export function readSettings() {
  const found = {};
  for (const [key, id] of Object.entries(ids)) {
    const field = document.getElementById(id);
    if (field && field.value !== "") found[key] = Number(field.value);
  }
  const seed = document.getElementById("seed");
  found.seed = seed?.value ? Number(seed.value) : Math.floor(Math.random() * 1e9);
  return found;
}

for (const slider of document.querySelectorAll('input[type="range"]')) {
  const output = document.querySelector(`output[for="${slider.id}"]`);
  const update = () => (output.textContent = Number(slider.value).toFixed(2).replace(/0$/, ""));
  slider.addEventListener("input", update);
  update();
}
