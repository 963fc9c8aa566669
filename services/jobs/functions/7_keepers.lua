-- What keeps the rest going: reap, expire, ring; who works here; and the table of all functions.

-- Takes a lease away from a worker that is gone: its unit is open again, unless it was lost too often.
local function lose(id, unit, word, cause, now)
  local worker, attempts = unpack(redis.call('HMGET', P .. 'units:' .. id, 'w:' .. unit, 'a:' .. unit))
  attempts = tonumber(attempts)
  local left = end_lease(id, unit, word, now)
  unit_event(id, tonumber(unit), 'lost', worker, attempts, now, cause)
  if state_of(id) == CANCELLING then
    return settle_cancel(id, left, now)
  end
  if attempts >= MAX_ATTEMPTS then
    local lost = {unit = tonumber(unit), attempts = attempts, worker = worker, cause = cause}
    redis.call('HSET', job_key(id), 'lost', cjson.encode(lost))
    return end_job(id, QUARANTINED, now, {lost = lost})
  end
  reopen(id, unit, left, now, 1)
end

-- Somebody who knows says that the worker is gone; `told` tells a repetition from a lease that had run out before.
local function lose_unit(_, args)
  local id, unit, token, cause = unpack(args)
  if ended_with(id, unit, token, 'told') then
    return 1
  end
  if not holds(id, unit, token) then
    return 0
  end
  lose(id, unit, 'told', cause, now_ms())
  return 1
end

local function lapse_lease(member, now)
  local id, unit = string.match(member, '^(.+)/(%d+)$')
  -- The job may have been ended by another unit of the same list.
  if redis.call('ZSCORE', P .. 'leases', member) then
    local lease_ms = redis.call('HGET', P .. 'units:' .. id, 'l:' .. unit)
    lose(id, unit, 'lost', string.format('not heard of for %g s', lease_ms / 1000), now)
  end
end

-- Ends a job whose time is over. One that is being cancelled waits for its workers no longer.
local function end_overdue(member, now)
  local id, what = string.match(member, '^(.+)/(%a+)$')
  -- The job may have been ended by its other limit.
  if not redis.call('ZSCORE', P .. 'due', member) then
    return 0
  end
  if state_of(id) == CANCELLING then
    end_job(id, CANCELLED, now)
  else
    local overdue = {limit = what, limit_ms = tonumber((get(id, what .. '_ms')))}
    redis.call('HSET', job_key(id), 'overdue', cjson.encode(overdue))
    end_job(id, FAILED, now, {overdue = overdue})
  end
  return 1
end

-- A job between two units whose workers all went away: it waits again, and can say why.
local function settle_idle(going, limit, now)
  for _, id in ipairs(redis.call('ZRANGE', going, 0, limit - 1)) do
    local idle = get(id, 'idle')
    if idle and now - idle >= IDLE_MS then
      set_state(id, QUEUED, now)
    end
  end
end

-- Limits before leases: a job beyond its deadline has failed, whatever else became of it.
local function reap(_, args)
  local limit, now = tonumber(args[1]), now_ms()
  recount_once(now)
  local ended = 0
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', P .. 'due', '-inf', int(now), 'LIMIT', 0, limit)) do
    ended = ended + end_overdue(member, now)
  end
  local expired = redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', int(now), 'LIMIT', 0, limit)
  for _, member in ipairs(expired) do
    lapse_lease(member, now)
  end
  local pools = redis.call('SRANDMEMBER', P .. 'pools', limit)
  for _, pool in ipairs({'any', 'cpu', 'gpu', unpack(pools)}) do
    for _, tenant in ipairs(redis.call('SMEMBERS', P .. 'tenants:' .. pool)) do
      settle_idle(P .. 'going:' .. pool .. ':' .. tenant, limit, now)
    end
  end
  return {#expired, ended}
end

local function expire(_, args)
  local limit, kept_ms, now = args[1], args[2], now_ms()
  local jobs = redis.call('ZRANGEBYSCORE', P .. 'ended', '-inf', int(now - kept_ms), 'LIMIT', 0, limit)
  for _, id in ipairs(jobs) do
    if is_awaited(id) then
      -- It is looked at again as if it had ended now.
      redis.call('ZADD', P .. 'ended', int(now), id)
    else
      forget_job(id)
    end
  end
  local artifacts = redis.call('ZRANGEBYSCORE', P .. 'lapse', '-inf', int(now), 'LIMIT', 0, limit)
  for _, member in ipairs(artifacts) do
    drop_artifact(string.match(member, '^([^/]+)/(.+)$'))
  end
  local uploads = redis.call('ZRANGEBYSCORE', P .. 'uploads', '-inf', int(now), 'LIMIT', 0, limit)
  for _, member in ipairs(uploads) do
    upload_drop(nil, {string.match(member, '^([^/]+)/(.+)$')})
  end
  return #jobs + #artifacts + #uploads
end

-- Open units of the first `jobs` jobs of a list, counted up to `most`.
local function count_open(list, jobs, most)
  local total = 0
  for _, id in ipairs(redis.call('ZRANGE', list, 0, math.min(jobs, most) - 1)) do
    total = total + redis.call('ZCARD', P .. 'open:' .. id)
    if total >= most then
      return most
    end
  end
  return total
end

-- Units of a tenant that wait.
local function count_ready(_, args)
  local total = 0
  for _, pool in ipairs(device.pools_of(args[1])) do
    total = total + count_open(P .. 'ready:' .. pool .. ':' .. args[1], 1e9, 1e9)
  end
  return total
end

-- Units that could be claimed on a lane, counted up to `most`; of a tenant that may run only so many jobs more, those
-- of as many jobs, which may be a few too many where jobs that run are not the first of its list.
local function claimable(lane, most)
  local total = 0
  for _, tenant in ipairs(redis.call('SMEMBERS', P .. 'tenants:' .. lane)) do
    local running, most_running = tenant_numbers(tenant, 'running', 'max_running_jobs')
    local rest = lane .. ':' .. tenant
    if most_running == 0 then
      total = total + count_open(P .. 'ready:' .. rest, most, most)
    elseif running >= most_running then
      total = total + count_open(P .. 'going:' .. rest, most, most)
    else
      local going = redis.call('ZCARD', P .. 'going:' .. rest)
      total = total + count_open(P .. 'ready:' .. rest, going + most_running - running, most)
    end
  end
  return math.min(total, most)
end

-- Whether a worker of a lane is idle that fits a unit with a need.
local function is_needed(lane, now)
  for _, shape in ipairs(redis.call('SMEMBERS', P .. 'shapes:' .. lane)) do
    local _, class, gib = device.split(lane .. '/' .. shape)
    local pools = live('idle', lane .. '/' .. shape, now) > 0 and device.pools(lane, class, gib) or {}
    -- The first two are those without a need.
    for i = 3, #pools do
      for _, tenant in ipairs(redis.call('SMEMBERS', P .. 'tenants:' .. pools[i])) do
        if bid(pools[i], tenant, 0) then
          return true
        end
      end
    end
  end
  return false
end

-- Repairs whatever was lost of the bells: as many as there are units to take and workers to take them.
local function ring_missing(_, args)
  local lane, now = args[1], now_ms()
  local workers = live('workers', lane, now)
  if workers == 0 then
    return 0
  end
  local units = math.min(workers, claimable('any', workers) + claimable(lane, workers))
  if is_needed(lane, now) then
    units = math.max(units, live('idle', lane, now))
  end
  local missing = units - redis.call('LLEN', 'sparring:cel:' .. lane)
  for _ = 1, missing do
    push_bell(lane)
  end
  return math.max(0, missing)
end

local function announce(_, args)
  local id, lane, record, busy, ttl_ms, class, gib = unpack(args)
  local now = now_ms()
  local lapse = int(now + ttl_ms)
  redis.call('HSET', P .. 'worker', id, int(now) .. ' ' .. record)
  redis.call('ZADD', P .. 'workers:' .. lane, lapse, id)
  if busy == '1' then
    redis.call('ZREM', P .. 'idle:' .. lane, id)
  else
    redis.call('ZADD', P .. 'idle:' .. lane, lapse, id)
  end
  device.announce(id, lane, class or '', gib or '0', lapse, busy == '1')
  return 'OK'
end

local function forget_worker(_, args)
  redis.call('HDEL', P .. 'worker', args[1])
  for _, lane in ipairs({'cpu', 'gpu'}) do
    redis.call('ZREM', P .. 'workers:' .. lane, args[1])
    redis.call('ZREM', P .. 'idle:' .. lane, args[1])
  end
  device.forget(args[1])
  return 'OK'
end

-- Those heard of in time, each after the time of its last word; the others are forgotten.
local function workers()
  local now, found = now_ms(), {}
  for _, lane in ipairs({'cpu', 'gpu'}) do
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'workers:' .. lane, '-inf', '(' .. int(now))) do
      forget_worker(nil, {id})
    end
    for _, id in ipairs(redis.call('ZRANGE', P .. 'workers:' .. lane, 0, -1)) do
      found[#found + 1] = redis.call('HGET', P .. 'worker', id)
    end
  end
  return found
end

-- Above the memory limit only that goes on which finishes or frees something (ALWAYS).
local ALWAYS, LIMITED, READING = {'allow-oom'}, {}, {'no-writes'}

local function publish(name, callback, flags)
  redis.register_function{function_name = 'sparring@generation@_' .. name, callback = callback, flags = flags}
end

publish('submit', submit, LIMITED)
publish('same', same, READING)
publish('cancel', cancel, ALWAYS)
publish('retry', retry, LIMITED)
publish('delete', delete, ALWAYS)
publish('list', list, READING)
publish('results', results, READING)
publish('position', position, READING)
publish('claim', claim, ALWAYS)
publish('renew', renew, ALWAYS)
publish('metric', metric, ALWAYS)
publish('commit', commit, ALWAYS)
publish('finish', finish, ALWAYS)
publish('fail', fail, ALWAYS)
publish('release', release, ALWAYS)
publish('stopped', stopped, ALWAYS)
publish('register', register, LIMITED)
publish('registered', registered, READING)
publish('unregister', unregister, ALWAYS)
publish('artifact_touch', artifact_touch, ALWAYS)
publish('artifact_seal', artifact_seal, LIMITED)
publish('artifact_delete', artifact_delete, ALWAYS)
publish('artifact_pin', artifact_pin, ALWAYS)
publish('artifact_unpin', artifact_unpin, ALWAYS)
publish('upload_begin', upload_begin, LIMITED)
publish('upload_chunk', upload_chunk, LIMITED)
publish('upload_drop', upload_drop, ALWAYS)
publish('upload_part', shelf.part, LIMITED)
publish('artifact_lost', shelf.lost, ALWAYS)
publish('shelf_begin', shelf.begin, LIMITED)
publish('shelf_state', shelf.state, READING)
publish('shelf_swept', shelf.swept, ALWAYS)
publish('shelf_move', shelf.move, LIMITED)
publish('store_use', shelf.use, ALWAYS)
publish('preview_ask', preview_ask, LIMITED)
publish('preview_listen', preview_listen, ALWAYS)
publish('preview_leave', preview_leave, ALWAYS)
publish('preview_answer', preview_answer, ALWAYS)
publish('lose', lose_unit, ALWAYS)
publish('reap', reap, ALWAYS)
publish('expire', expire, ALWAYS)
publish('ring', ring_missing, ALWAYS)
publish('ready', count_ready, READING)
publish('measure', measure, READING)
publish('usage', usage, READING)
publish('audit', audit, ALWAYS)
publish('announce', announce, ALWAYS)
publish('forget_worker', forget_worker, ALWAYS)
publish('workers', workers, ALWAYS)

-- The one name that every generation knows: a call of another generation finds no function, and changes nothing.
redis.register_function{function_name = 'sparring_version', callback = function() return '@version@' end, flags = READING}
