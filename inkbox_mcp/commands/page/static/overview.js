// The mailboxes, the webhooks with their deliveries, and the tool calls.

import {
  $,
  chip,
  code,
  command,
  count,
  element,
  empty,
  foreign,
  keyed,
  linked,
  paragraph,
  seen,
  unseen,
  when,
} from "./elements.js";
import { coalesced, get } from "./requests.js";
import { mailboxLink } from "./route.js";

const LONG = 300; // characters of arguments that are not shown at once
const LATEST = 8; // rows beside the mail

let state = null;
export const mailboxOf = (id) => state?.mailboxes.find((each) => each.id === id);
/** Whether the file was deleted or replaced, so that agents use another one. */
export const isReplaced = () => state?.is_replaced;
export const mailboxes = () => state?.mailboxes ?? [];

/** Returns the function that asks for the overview and shows it; `shown` is called after each time. */
export const overview = (shown) =>
  coalesced(async () => {
    state = await get("/page/state");
    showMailboxes();
    showWebhooks();
    showCalls();
    showActivity();
    shown();
  });

/** Returns how to start a server whose agents are seen here. */
function howToStart() {
  const generation = state.generation === "spec" ? "" : ` --sandbox-generation ${state.generation}`;
  if (state.database) return [command(`inkbox-mcp --sandbox --sandbox-db ${quoted(state.database)}${generation}`)];
  const begin =
    "This sandbox is in memory. Set the two variables that it printed at its start for the client, and give it:";
  return [paragraph(begin), command("inkbox-mcp")];
}

const quoted = (path) => (/^[\w./~-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);

function showMailboxes() {
  const organizations = new Set(state.mailboxes.map((each) => each.organization));
  const isNamed = organizations.size > 1;
  keyed(
    $("mailbox-rows"),
    state.mailboxes.map((each) => ({ ...each, isNamed })),
    (each) => each.id,
    fillMailbox,
  );
  empty(
    "no-mailboxes",
    !state.mailboxes.length,
    "No mailbox yet",
    paragraph("An agent makes the first one. Give this server to the client of your agent, and ask it for a mailbox:"),
    ...howToStart(),
    paragraph("Whatever it does with its mail is then shown here, while it happens."),
  );
  const leftOut = state.limited.mailboxes;
  $("mailboxes-left-out").hidden = !leftOut;
  $("mailboxes-left-out").textContent = `${count(leftOut, "older mailbox is", "older mailboxes are")} not shown.`;
}

function fillMailbox(row, each) {
  const webhooks = each.webhooks.length && count(each.webhooks.length, "webhook");
  const about = [
    each.agent_handle && `agent ${each.agent_handle}`,
    webhooks,
    each.isNamed && `organization ${each.organization}`,
  ];
  const isUnread = each.unread > 0;
  linked(
    row,
    mailboxLink(each.id),
    element(
      "span",
      { class: "line" },
      foreign(each.display_name || each.email_address, { class: "name" }),
      each.status !== "active" && chip(each.status, "bad"),
      isUnread && element("span", { class: "badge" }, each.unread.toLocaleString("en"), unseen(" unread")),
    ),
    each.display_name && foreign(each.email_address, { class: "second" }),
    foreign(about.filter(Boolean).join(" · "), { class: "second" }),
  );
}

function showWebhooks() {
  const webhooks = state.mailboxes.flatMap((mailbox) =>
    mailbox.webhooks.map((webhook, place) => ({ ...webhook, place, mailbox })),
  );
  const tool = state.generation === "spec" ? "update_mailbox" : "create_webhook";
  keyed($("webhook-rows"), webhooks, (each) => `${each.mailbox.id} ${each.place}`, fillWebhook);
  empty(
    "no-webhooks",
    !webhooks.length,
    "No webhooks",
    paragraph("An agent subscribes a URL to the events of a mailbox by the tool ", code(tool), "."),
  );
  keyed($("delivery-rows"), state.deliveries, (each) => each.id, fillDelivery);
  empty(
    "no-deliveries",
    !state.deliveries.length,
    "Nothing was delivered yet",
    paragraph(
      "When something happens in a mailbox with a webhook, the sandbox calls its URL and shows the answer here.",
    ),
  );
}

const mailboxLine = (id, address) => element("a", { href: mailboxLink(id) }, seen(address));

function fillWebhook(row, each) {
  const events = each.event_types?.length ? each.event_types.map((type) => chip(type)) : [chip("all events")];
  row.replaceChildren(
    element(
      "div",
      { class: "what" },
      foreign(each.url, { class: "strong" }),
      element("span", { class: "chips" }, mailboxLine(each.mailbox.id, each.mailbox.email_address), ...events),
    ),
  );
}

/** Fills a row about something that happened. */
function fillEvent(row, { at, outcome, kind, milliseconds, what }) {
  const time = milliseconds != null && `${Math.round(milliseconds).toLocaleString("en")} ms`;
  row.replaceChildren(
    when(at),
    element("div", { class: "what" }, ...what),
    element("span", { class: "outcome" }, chip(outcome, kind), element("span", { class: "ms" }, time)),
  );
}

function outcomeOf({ state: step, status }) {
  if (step !== "done") return { outcome: step, kind: "" };
  return { outcome: String(status ?? "failed"), kind: status >= 200 && status < 300 ? "good" : "bad" };
}

function fillDelivery(row, each) {
  fillEvent(row, {
    at: each.created_at,
    ...outcomeOf(each),
    milliseconds: each.ms,
    what: [
      foreign(each.event_type, { class: "strong" }),
      element(
        "span",
        { class: "chips" },
        foreign(each.url),
        each.email_address && mailboxLine(each.mailbox_id, each.email_address),
      ),
      each.error && foreign(each.error, { class: "error" }),
    ],
  });
}

function showCalls() {
  keyed($("call-rows"), state.calls, (each) => String(each.id), fillCall);
  empty(
    "no-calls",
    !state.calls.length,
    "No tool calls yet",
    ...howToRecord(),
  );
}

/** Returns how calls get here: a server that only knows the URL of this sandbox cannot record them. */
function howToRecord() {
  if (state.database) {
    return [
      paragraph("Calls are recorded of clients whose server works on the file of this sandbox itself:"),
      ...howToStart(),
    ];
  }
  const generation = state.generation === "spec" ? "" : ` --generation ${state.generation}`;
  return [
    paragraph("This sandbox is in memory, so it records none. Start it on a file instead:"),
    command(`inkbox-mcp sandbox${generation}`),
  ];
}

const KINDS = { ok: "good", asked: "", cancelled: "" };
const resultOf = ({ outcome }) => ({ outcome, kind: KINDS[outcome] ?? "bad" });

function fillCall(row, each) {
  fillEvent(row, {
    at: each.created_at,
    ...resultOf(each),
    milliseconds: each.ms,
    what: [
      element(
        "span",
        { class: "line" },
        code(each.tool),
        each.client && foreign(`by ${each.client}`, { class: "second" }),
      ),
      argumentsOf(each.arguments ?? {}),
      each.text && foreign(each.text, { class: "error" }),
    ],
  });
}

function argumentsOf(given) {
  const whole = JSON.stringify(given, null, 2);
  if (whole.length > LONG) {
    const title = `Arguments: ${Object.keys(given).join(", ")}`;
    return element("details", {}, element("summary", {}, seen(title)), element("pre", {}, seen(whole)));
  }
  const written = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  const rows = Object.entries(given).map(([name, value]) => [
    element("dt", {}, seen(name)),
    element("dd", {}, foreign(written(value))),
  ]);
  return rows.length > 0 && element("dl", {}, ...rows.flat());
}

/** Shows beside the mail what happened last. */
function showActivity() {
  const about = (each, link, name, outcome) => ({
    key: `${link} ${each.id}`,
    at: each.created_at,
    link,
    name,
    ...outcome,
  });
  const latest = [
    ...state.calls.map((each) => about(each, "#/calls", each.tool, resultOf(each))),
    ...state.deliveries.map((each) => about(each, "#/webhooks", each.event_type, outcomeOf(each))),
  ];
  latest.sort((one, other) => Date.parse(other.at) - Date.parse(one.at));
  $("activity").hidden = !latest.length;
  keyed(
    $("activity-rows"),
    latest.slice(0, LATEST),
    (each) => each.key,
    (row, { link, at, name, outcome, kind }) =>
      linked(row, link, when(at), foreign(name, { class: "name" }), chip(outcome, kind)),
  );
}
