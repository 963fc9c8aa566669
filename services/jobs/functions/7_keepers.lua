-- What keeps the rest going: reap, expire, ring; who works here; and the table of all functions.

-- A lease that was not renewed: its unit is open again, unless it was lost too often.
local function lose(id, unit, now)
  local worker, attempts = unpack(redis.call('HMGET', P .. 'units:' .. id, 'w:' .. unit, 'a:' .. unit))
  attempts = tonumber(attempts)
  local left = end_lease(id, unit, 'lost', now)
  unit_event(id, tonumber(unit), 'lost', worker, attempts, now)
  if state_of(id) == CANCELLING then
    return settle_cancel(id, left, now)
  end
  if attempts >= MAX_ATTEMPTS then
    local lost = {unit = tonumber(unit), attempts = attempts, worker = worker}
    redis.call('HSET', job_key(id), 'lost', cjson.encode(lost))
    return end_job(id, QUARANTINED, now, {lost = lost})
  end
  reopen(id, unit, left, now, 1)
end

-- A job between two units whose workers all went away: it waits again, and can say why.
local function settle_idle(lane, limit, now)
  for _, id in ipairs(redis.call('ZRANGE', P .. 'ready:' .. lane, 0, limit - 1)) do
    local state, idle = get(id, 'state', 'idle')
    if tonumber(state) == RUNNING and idle and now - idle >= IDLE_MS then
      set_state(id, QUEUED, now)
    end
  end
end

local function reap(_, args)
  local limit, now = tonumber(args[1]), now_ms()
  local expired = redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', int(now), 'LIMIT', 0, limit)
  for _, member in ipairs(expired) do
    local id, unit = string.match(member, '^(.+)/(%d+)$')
    -- The job may have been ended by another unit of this very list.
    if redis.call('ZSCORE', P .. 'leases', member) then
      lose(id, unit, now)
    end
  end
  for _, lane in ipairs({'any', 'cpu', 'gpu'}) do
    settle_idle(lane, limit, now)
  end
  return #expired
end

local function expire(_, args)
  local limit, kept_ms, now = args[1], args[2], now_ms()
  local jobs = redis.call('ZRANGEBYSCORE', P .. 'ended', '-inf', int(now - kept_ms), 'LIMIT', 0, limit)
  for _, id in ipairs(jobs) do
    forget_job(id)
  end
  local artifacts = redis.call('ZRANGEBYSCORE', P .. 'lapse', '-inf', int(now), 'LIMIT', 0, limit)
  for _, sha in ipairs(artifacts) do
    drop_artifact(sha)
  end
  local uploads = redis.call('ZRANGEBYSCORE', P .. 'uploads', '-inf', int(now), 'LIMIT', 0, limit)
  for _, upload in ipairs(uploads) do
    upload_drop(nil, {upload})
  end
  return #jobs + #artifacts + #uploads
end

local function ready_units(lanes, most)
  local total = 0
  for _, lane in ipairs(lanes) do
    for _, id in ipairs(redis.call('ZRANGE', P .. 'ready:' .. lane, 0, most - 1)) do
      total = total + redis.call('ZCARD', P .. 'open:' .. id)
      if total >= most then
        return most
      end
    end
  end
  return total
end

local function count_ready()
  return ready_units({'any', 'cpu', 'gpu'}, 1e9)
end

-- Repairs whatever was lost of the bells: as many as there are units to take and workers to take them.
local function ring_missing(_, args)
  local lane, now = args[1], now_ms()
  local workers = live('workers', lane, now)
  if workers == 0 then
    return 0
  end
  local missing = ready_units({'any', lane}, workers) - redis.call('LLEN', 'sparring:cel:' .. lane)
  for _ = 1, missing do
    push_bell(lane)
  end
  return math.max(0, missing)
end

local function announce(_, args)
  local id, lane, record, busy, ttl_ms = unpack(args)
  local now = now_ms()
  local lapse = int(now + ttl_ms)
  redis.call('HSET', P .. 'worker', id, int(now) .. ' ' .. record)
  redis.call('ZADD', P .. 'workers:' .. lane, lapse, id)
  if busy == '1' then
    redis.call('ZREM', P .. 'idle:' .. lane, id)
  else
    redis.call('ZADD', P .. 'idle:' .. lane, lapse, id)
  end
  return 'OK'
end

local function forget_worker(_, args)
  redis.call('HDEL', P .. 'worker', args[1])
  for _, lane in ipairs({'cpu', 'gpu'}) do
    redis.call('ZREM', P .. 'workers:' .. lane, args[1])
    redis.call('ZREM', P .. 'idle:' .. lane, args[1])
  end
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
  redis.register_function{function_name = 'sparring_' .. name, callback = callback, flags = flags}
end

publish('submit', submit, LIMITED)
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
publish('reap', reap, ALWAYS)
publish('expire', expire, ALWAYS)
publish('ring', ring_missing, ALWAYS)
publish('ready', count_ready, READING)
publish('announce', announce, ALWAYS)
publish('forget_worker', forget_worker, ALWAYS)
publish('workers', workers, ALWAYS)
publish('version', function() return '@version@' end, READING)
