-- Who may work on what: open units, leases, bells.

-- Celery messages for `sparring.bell`, written by kombu when the library is loaded; @bell@ stands for an id.
local BELLS = {cpu = '@cpu-bell@', gpu = '@gpu-bell@'}

local function live(set, lane, now)
  return redis.call('ZCOUNT', P .. set .. ':' .. lane, int(now), '+inf')
end

local function push_bell(lane)
  local number = redis.call('INCR', P .. 'bells')
  local bell = string.gsub(BELLS[lane], '@bell@', string.format('00000000-0000-4000-8000-%012x', number))
  redis.call('LPUSH', 'sparring:cel:' .. lane, bell)
end

-- Rings for `wanted` units, once at least; never more often than there are workers that could hear it.
local function ring_lane(lane, wanted, now)
  local room = math.max(1, live('workers', lane, now)) - redis.call('LLEN', 'sparring:cel:' .. lane)
  for _ = 1, math.min(math.max(1, math.min(wanted, live('idle', lane, now))), room) do
    push_bell(lane)
  end
end

local function ring(lane, wanted, now)
  if lane ~= 'any' then
    return ring_lane(lane, wanted, now)
  end
  ring_lane('cpu', wanted, now)
  if live('workers', 'gpu', now) > 0 then
    ring_lane('gpu', wanted, now)
  end
end

local function open_units(id, units, now)
  local lane, place = get(id, 'lane', 'place')
  for first = 1, #units, 1000 do
    local arguments = {}
    for i = first, math.min(first + 999, #units) do
      arguments[#arguments + 1] = units[i]
      arguments[#arguments + 1] = units[i]
    end
    redis.call('ZADD', P .. 'open:' .. id, unpack(arguments))
  end
  redis.call('ZADD', P .. 'ready:' .. lane, place, id)
  ring(lane, #units, now)
end

-- Opens whatever is not committed: the units of the job, or its closing unit once all of them are.
local function open_rest(id, now)
  local rest, units = {}, tonumber((get(id, 'units')))
  for unit = 0, units - 1 do
    if redis.call('HEXISTS', P .. 'results:' .. id, unit) == 0 then
      rest[#rest + 1] = unit
    end
  end
  open_units(id, #rest > 0 and rest or {units}, now)
end

local function close_units(id)
  redis.call('ZREM', P .. 'ready:' .. get(id, 'lane'), id)
  redis.call('DEL', P .. 'open:' .. id)
end

-- The first open unit of the job whose turn it is, out of `any` and the worker's own lane.
local function pop_unit(lane)
  local best, best_place, best_lane
  for _, candidate in ipairs({'any', lane}) do
    local head = redis.call('ZRANGE', P .. 'ready:' .. candidate, 0, 0, 'WITHSCORES')
    if head[1] and (not best or tonumber(head[2]) < best_place) then
      best, best_place, best_lane = head[1], tonumber(head[2]), candidate
    end
  end
  if not best then
    return nil
  end
  local unit = redis.call('ZPOPMIN', P .. 'open:' .. best)[1]
  if redis.call('ZCARD', P .. 'open:' .. best) == 0 then
    redis.call('ZREM', P .. 'ready:' .. best_lane, best)
  end
  return best, tonumber(unit)
end

local function holds(id, unit, token)
  return redis.call('HGET', P .. 'units:' .. id, 't:' .. unit) == token
end

local function ended_with(id, unit, token, word)
  return redis.call('HGET', P .. 'units:' .. id, 'o:' .. unit) == token .. ':' .. word
end

local function begin_lease(id, unit, worker, deadline, now)
  local token = int(redis.call('INCR', P .. 'fence'))
  local units = P .. 'units:' .. id
  redis.call('HSET', units, 't:' .. unit, token, 'w:' .. unit, worker)
  redis.call('ZADD', P .. 'leases', int(deadline), id .. '/' .. unit)
  redis.call('HSET', P .. 'running:' .. id, unit, 0)
  redis.call('HSETNX', job_key(id), 'since', int(now))
  redis.call('HSETNX', job_key(id), 'started', int(now))
  redis.call('HDEL', job_key(id), 'idle')
  return token, redis.call('HINCRBY', units, 'a:' .. unit, 1)
end

-- Takes a lease away and returns how many the job still has.
local function end_lease(id, unit, word, now)
  local units = P .. 'units:' .. id
  local token = redis.call('HGET', units, 't:' .. unit)
  redis.call('HDEL', units, 't:' .. unit, 'w:' .. unit)
  redis.call('HSET', units, 'o:' .. unit, token .. ':' .. word)
  redis.call('ZREM', P .. 'leases', id .. '/' .. unit)
  redis.call('HDEL', P .. 'running:' .. id, unit)
  local left = redis.call('HLEN', P .. 'running:' .. id)
  if left == 0 then
    local since, ran = get(id, 'since', 'ran')
    redis.call('HSET', job_key(id), 'ran', int((ran or 0) + now - since), 'idle', int(now))
    redis.call('HDEL', job_key(id), 'since')
  end
  return left
end

-- Ends the job whatever else of it runs; those workers find their tokens stale.
local function end_job(id, state, now, payload, status)
  for _, unit in ipairs(redis.call('HKEYS', P .. 'running:' .. id)) do
    end_lease(id, unit, 'dropped', now)
  end
  close_units(id)
  redis.call('HSET', job_key(id), 'progress', cjson.encode(progress_of(id, now)))
  set_state(id, state, now, payload, status)
end

-- After a lease of a job that is being cancelled has ended: the last one out ends the job.
local function settle_cancel(id, left, now)
  if left == 0 then
    end_job(id, CANCELLED, now)
  end
end

-- After a lease ended without a result: the unit is open again, and a job of which nothing runs waits again.
local function reopen(id, unit, left, now, recovering)
  open_units(id, {unit}, now)
  if left == 0 then
    redis.call('HSET', job_key(id), 'recovering', recovering)
    set_state(id, QUEUED, now)
  end
end
