-- Calls a tool over HTTP with `wrk`, and checks every answer.
--
-- Arguments: the file of sessions or "-", then templates of the path and of the body, then headers ("Name: value").
-- In a template the first %d is the call's id and %s the mailbox that is asked for.

local threads = {}
local mailboxes = 256

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  path, body = args[2], args[3]
  for position = 4, #args do
    local name, value = args[position]:match("^(.-): (.*)$")
    wrk.headers[name] = value
  end
  sessions = {}
  if args[1] ~= "-" then
    for session in io.lines(args[1]) do
      table.insert(sessions, session)
    end
  end
  last, wrong, asked, example = 0, 0, {}, ""
end

function request()
  last = last + 1
  if #sessions > 0 then
    wrk.headers["Mcp-Session-Id"] = sessions[last % #sessions + 1]
  end
  local mailbox = string.format("client-%d@inkboxmail.com", last % mailboxes)
  asked[last] = mailbox
  return wrk.format("POST", path:format(last, mailbox), nil, body:format(last, mailbox))
end

function response(status, headers, answer)
  local id = tonumber(answer:match('"id":(%d+)'))
  local mailbox = id and asked[id]
  local right = status == 200 and mailbox and answer:find('"structuredContent":{', 1, true)
    and answer:find('"email_address":"' .. mailbox .. '"', 1, true)
    and not answer:find('"isError":true', 1, true)
  if not right then
    wrong = wrong + 1
    example = status .. " " .. answer:sub(1, 300)
  end
  if id then
    asked[id] = nil
  end
end

local function quoted(text)
  return '"' .. text:gsub('[%c"\\]', function(char) return string.format("\\u%04x", char:byte()) end) .. '"'
end

function done(summary, latency, requests)
  local wrong, example = 0, ""
  for _, thread in ipairs(threads) do
    wrong = wrong + thread:get("wrong")
    example = thread:get("example") .. example
  end
  local errors = summary.errors
  io.write(string.format(
    '\n{"seconds":%.6f,"answers":%d,"wrong":%d,"lost":%d,"p50_ms":%.3f,"p99_ms":%.3f,"example":%s}\n',
    summary.duration / 1e6, summary.requests, wrong, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, quoted(example)
  ))
end
