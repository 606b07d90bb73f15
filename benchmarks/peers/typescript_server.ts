// The five mailbox tools made with the TypeScript SDK, on stdio; bundled by esbuild into one file before it is measured.

import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { z } from "zod";

const api = process.env.INKBOX_BASE_URL + "/api/v1";
const mailboxes = "/mail/mailboxes";
const headers = { "X-API-Key": process.env.INKBOX_API_KEY!, "Content-Type": "application/json" };

const address = z.string().max(320).describe("The mailbox's full address.");
const name = z.string().min(1).optional().describe("Sender name people see, 1-255 characters.");
const mailbox = z.object({
  id: z.string(),
  email_address: z.string(),
  display_name: z.string().nullish(),
  webhook_url: z.string().nullish(),
  status: z.string(),
}).passthrough();
const row = z.object({
  email_address: z.string(),
  display_name: z.string().nullable(),
  agent_handle: z.string().nullable(),
  status: z.string(),
  webhook_url: z.string().nullable(),
  created_at: z.string(),
});
const page = z.object({ total: z.number(), of: z.number(), next_cursor: z.string().nullable(), mailboxes: z.array(row) });
const deleted = z.object({ deleted: z.boolean(), email_address: z.string() });

async function send(method: string, path: string, body?: object): Promise<any> {
  const answer = await fetch(api + path, { method, headers, body: body && JSON.stringify(body) });
  if (!answer.ok) throw new Error(`Inkbox answered ${answer.status}`);
  return answer.status === 204 ? null : await answer.json();
}

const result = (data: any) => ({ content: [{ type: "text" as const, text: JSON.stringify(data) }], structuredContent: data });

const server = new McpServer({ name: "mailboxes", version: "1" });
server.registerTool("create_mailbox", {
  description: "Create a mailbox, an email address, for an agent identity that has none yet.",
  inputSchema: { agent_handle: z.string(), display_name: name, email_local_part: z.string().optional() },
  outputSchema: mailbox,
}, async (args) => {
  const made = await send("POST", mailboxes, args);
  return result(mailbox.parse({ ...made, agent_handle: args.agent_handle }));
});
server.registerTool("list_mailboxes", {
  description: "List active mailboxes, newest first.",
  inputSchema: { limit: z.number().int().min(1).max(200).default(50) },
  outputSchema: page,
}, async ({ limit }) => {
  const [found, identities] = await Promise.all([send("GET", mailboxes), send("GET", "/identities")]);
  const handles = new Map(identities.map((each: any) => [each.email_address, each.agent_handle]));
  const rows = found.slice(0, limit).map((each: any) => ({
    ...each,
    agent_handle: handles.get(each.email_address) ?? null,
    created_at: each.created_at.slice(0, 19) + "Z",
  }));
  return result(page.parse({ total: found.length, of: found.length, next_cursor: null, mailboxes: rows }));
});
server.registerTool("get_mailbox", {
  description: "Get one mailbox by its address.",
  inputSchema: { email_address: address },
  outputSchema: mailbox,
}, async ({ email_address }) => result(mailbox.parse(await send("GET", `${mailboxes}/${email_address}`))));
server.registerTool("update_mailbox", {
  description: "Change a mailbox's display name or webhook.",
  inputSchema: { email_address: address, display_name: name, webhook_url: z.string().optional() },
  outputSchema: mailbox,
}, async ({ email_address, ...changes }) => result(mailbox.parse(await send("PATCH", `${mailboxes}/${email_address}`, changes))));
server.registerTool("delete_mailbox", {
  description: "Delete a mailbox for good.",
  inputSchema: { email_address: address },
  outputSchema: deleted,
}, async ({ email_address }) => {
  await send("DELETE", `${mailboxes}/${email_address}`);
  return result({ deleted: true, email_address });
});
await server.connect(new StdioServerTransport());
