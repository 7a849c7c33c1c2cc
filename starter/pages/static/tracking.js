// Keeps the page up to date: a stream says that something changed, the server sends the new part.
const order = document.getElementById("order");
const live = document.getElementById("live");
const said = document.getElementById("said");
const icon = document.querySelector("link[rel=icon]");
const token = location.pathname.split("/")[2];
let shownAt = new Date();

const clock = (at) => at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

function say(text, cut) {
  live.hidden = false;
  live.textContent = text;
  live.classList.toggle("cut", cut);
}

async function refresh() {
  const answer = await fetch(`/t/${token}/now`, { cache: "no-store" });
  if (!answer.ok) return;
  const before = order.querySelector("h1").textContent;
  const opened = document.activeElement && order.contains(document.activeElement);
  if (opened) return waitForBlur();
  order.innerHTML = await answer.text();
  const { title, tone } = order.firstElementChild.dataset;
  document.title = title;
  icon.href = `/static/icon-${tone}.svg`;
  const after = order.querySelector("h1").textContent;
  if (after !== before) said.textContent = after;
  shownAt = new Date();
  say("Live", false);
}

// A reader who is on a link keeps their place; the page catches up when they move on.
function waitForBlur() {
  document.activeElement.addEventListener("blur", () => setTimeout(refresh), { once: true });
}

const seq = order.firstElementChild.dataset.seq;
const stream = new EventSource(`/v1/track/${token}/events?after=${seq}`);
stream.addEventListener("open", () => say("Live", false));
stream.addEventListener("state", refresh);
stream.addEventListener("error", () => say(`Reconnecting. Shown as of ${clock(shownAt)}`, true));
