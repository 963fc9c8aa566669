-- Previews: handed from a gateway to whichever worker waits for one, and answered by a list of their own. They are no
-- jobs: nothing of them stays, and every key of theirs lapses by itself.

local PREVIEW_LISTS_KEPT_MS = 60000

local function expect_preview(list, preview)
  redis.call('RPUSH', P .. 'previews:' .. list, preview)
  redis.call('PEXPIRE', P .. 'previews:' .. list, PREVIEW_LISTS_KEPT_MS)
end

-- A preview goes to a previewer that runs; where each of these has one waiting already, another is woken for it.
local function preview_ask(_, args)
  local id, tenant, task, timeout_ms, most = unpack(args)
  local now = now_ms()
  if live('workers', 'cpu', now) + live('workers', 'gpu', now) == 0 then
    return 'NOBODY'
  end
  local previewing = P .. 'previewing:' .. tenant
  redis.call('ZREMRANGEBYSCORE', previewing, '-inf', int(now))
  if redis.call('ZCARD', previewing) >= tonumber(most) then
    return 'BUSY'
  end
  redis.call('ZADD', previewing, int(now + timeout_ms), id)
  redis.call('PEXPIRE', previewing, PREVIEW_LISTS_KEPT_MS)
  local awake = redis.call('ZCOUNT', P .. 'previewers', int(now), '+inf')
  local waiting = redis.call('LLEN', P .. 'previews:awake')
  expect_preview(waiting < awake and 'awake' or 'asleep', int(now + timeout_ms) .. ' ' .. task)
  return 'OK'
end

-- A previewer runs, and is about to wait; it learns the server's time, by which previews lapse.
local function preview_listen(_, args)
  local id, ttl_ms, now = args[1], args[2], now_ms()
  redis.call('ZREMRANGEBYSCORE', P .. 'previewers', '-inf', int(now))
  redis.call('ZADD', P .. 'previewers', int(now + ttl_ms), id)
  redis.call('PEXPIRE', P .. 'previewers', PREVIEW_LISTS_KEPT_MS)
  return int(now)
end

-- A previewer ends. What waits for it, and for no other, wakes another.
local function preview_leave(_, args)
  redis.call('ZREM', P .. 'previewers', args[1])
  if redis.call('ZCOUNT', P .. 'previewers', int(now_ms()), '+inf') == 0 then
    local left = redis.call('LPOP', P .. 'previews:awake')
    while left do
      expect_preview('asleep', left)
      left = redis.call('LPOP', P .. 'previews:awake')
    end
  end
  return 'OK'
end

local function preview_answer(_, args)
  local id, tenant, answer, kept_ms = unpack(args)
  redis.call('ZREM', P .. 'previewing:' .. tenant, id)
  redis.call('RPUSH', P .. 'preview:' .. id, answer)
  redis.call('PEXPIRE', P .. 'preview:' .. id, kept_ms)
  return 'OK'
end
