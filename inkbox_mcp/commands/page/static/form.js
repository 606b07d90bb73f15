// The form by which a person writes to an agent, as a stranger would.

import { $, element } from "./elements.js";
import { mailboxes, mailboxOf } from "./overview.js";
import { ask, Failure } from "./requests.js";
import { route } from "./route.js";

const MILLISECONDS_OF_A_TOAST = 6000;

export function write() {
  const [only, ...others] = mailboxes();
  const mailbox = mailboxOf(route.mailbox) ?? (others.length ? null : only);
  if (mailbox) $("to").value = mailbox.email_address;
  $("addresses").replaceChildren(...mailboxes().map((each) => element("option", { value: each.email_address })));
  $("form-error").textContent = "";
  $("compose").showModal();
}

async function send() {
  const to = $("to")
    .value.split(",")
    .map((each) => each.trim())
    .filter(Boolean);
  const letter = { from: $("from").value.trim(), to, subject: $("subject").value, text: $("text").value, html: null };
  const headers = { "Content-Type": "application/json" };
  const answer = await ask("/page/messages", { method: "POST", headers, body: JSON.stringify(letter) });
  const { delivered, refused } = await answer.json();
  const done = `Delivered to ${Object.keys(delivered).join(", ")}.`;
  if (refused.length) throw new Failure(0, `${done} No mailbox takes mail for ${refused.join(", ")}.`);
  $("compose").close();
  for (const field of ["subject", "text"]) $(field).value = "";
  toast(done);
}

let fading;
export function toast(text) {
  $("toast").textContent = text;
  clearTimeout(fading);
  fading = setTimeout(() => ($("toast").textContent = ""), MILLISECONDS_OF_A_TOAST);
}

$("write").addEventListener("click", write);
$("cancel").addEventListener("click", () => $("compose").close());
$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("form-error").textContent = "";
  $("send").disabled = true;
  try {
    await send();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    $("form-error").textContent = error.message;
  } finally {
    $("send").disabled = false;
  }
});
