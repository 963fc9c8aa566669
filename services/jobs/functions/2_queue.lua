-- Who may work on what: open units, leases, bells.

-- Celery messages for `sparring.bell`, written by kombu when the library is loaded; @bell@ stands for an id.
local BELLS = {cpu = '@cpu-bell@', gpu = '@gpu-bell@'}

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

-- A bell wakes some worker of its lane. For jobs that only some of these fit, all that have no work are woken.
local function ring(pool, wanted, now)
  local lane, class, gib = device.split(pool)
  if class then
    for _, own in ipairs(lane == 'any' and {'cpu', 'gpu'} or {lane}) do
      if device.fitting('workers', own, class, gib, now) > 0 then
        ring_lane(own, live('idle', own, now), now)
      end
    end
    return
  end
  if lane ~= 'any' then
    return ring_lane(lane, wanted, now)
  end
  ring_lane('cpu', wanted, now)
  if live('workers', 'gpu', now) > 0 then
    ring_lane('gpu', wanted, now)
  end
end

local function open_units(id, units, now)
  local lane, tenant, place, state, trace = get(id, 'lane', 'tenant', 'place', 'state', 'trace')
  if trace and #units == 1 then
    redis.call('HSET', P .. 'units:' .. id, 'r:' .. units[1], int(now))
  elseif trace then
    redis.call('HSET', job_key(id), 'opened', int(now))
  end
  for first = 1, #units, 1000 do
    local arguments = {}
    for i = first, math.min(first + 999, #units) do
      arguments[#arguments + 1] = units[i]
      arguments[#arguments + 1] = units[i]
    end
    tally('ready/' .. lane, redis.call('ZADD', P .. 'open:' .. id, unpack(arguments)))
  end
  local pool = pool_of(id)
  redis.call('ZADD', P .. 'ready:' .. pool .. ':' .. tenant, place, id)
  device.list(pool, tenant)
  if tonumber(state) == QUEUED then
    redis.call('ZADD', P .. 'queued:' .. lane, 'NX', int(now), id)
  elseif tonumber(state) == RUNNING then
    redis.call('ZADD', P .. 'going:' .. pool .. ':' .. tenant, place, id)
  end
  ring(pool, #units, now)
end

-- Takes a job that has no open units any more out of the queue.
local function unlist(id)
  local pool, tenant = pool_of(id), get(id, 'tenant')
  redis.call('ZREM', P .. 'going:' .. pool .. ':' .. tenant, id)
  redis.call('ZREM', P .. 'ready:' .. pool .. ':' .. tenant, id)
  if redis.call('EXISTS', P .. 'ready:' .. pool .. ':' .. tenant) == 0 then
    device.unlist(pool, tenant)
  end
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
  tally('ready/' .. get(id, 'lane'), -redis.call('ZCARD', P .. 'open:' .. id))
  redis.call('DEL', P .. 'open:' .. id)
  unlist(id)
end

-- Fair shares. Among the tenants with units for a worker, that one is served which has the fewest leased units for its
-- weight. Where that is equal it is whose turn comes first: each unit moves a tenant's turn on by 1/weight, and one
-- that was away starts where the others are. Where that is equal too, the job that was accepted first goes first.

local function first_of(one, other)
  for i = 1, #one do
    if one[i] ~= other[i] then
      return one[i] < other[i]
    end
  end
  return false
end

-- What a tenant offers a worker out of a pool: share, turn and place to be compared, and the job. Nil where it may not run one more.
local function bid(pool, tenant, served)
  local leased, weight, turn, running, most =
    tenant_numbers(tenant, 'leased', 'weight', 'turn', 'running', 'max_running_jobs')
  local list = (most > 0 and running >= most and 'going:' or 'ready:') .. pool .. ':' .. tenant
  local id, place = unpack(redis.call('ZRANGE', P .. list, 0, 0, 'WITHSCORES'))
  if id then
    weight = weight > 0 and weight or 1
    return {leased / weight, math.max(turn, served), tonumber(place)}, id, tenant, weight
  end
end

-- The next unit for a worker, out of the pools that it fits; looks once at each tenant that has work in one of them.
local function pop_unit(lane, class, gib)
  local served = tonumber(redis.call('GET', P .. 'turn') or 0)
  local best, id, tenant, weight
  for _, own in ipairs(device.pools(lane, class, gib)) do
    for _, name in ipairs(redis.call('SMEMBERS', P .. 'tenants:' .. own)) do
      local offer, offered, its_name, its_weight = bid(own, name, served)
      if offer and (not best or first_of(offer, best)) then
        best, id, tenant, weight = offer, offered, its_name, its_weight
      end
    end
  end
  if not best then
    return nil
  end
  redis.call('SET', P .. 'turn', string.format('%.17g', best[2]))
  redis.call('HSET', tenant_key(tenant), 'turn', string.format('%.17g', best[2] + 1 / weight))
  local unit = redis.call('ZPOPMIN', P .. 'open:' .. id)[1]
  tally('ready/' .. get(id, 'lane'), -1)
  if redis.call('EXISTS', P .. 'open:' .. id) == 0 then
    unlist(id)
  end
  return id, tonumber(unit)
end

local function holds(id, unit, token)
  return redis.call('HGET', P .. 'units:' .. id, 't:' .. unit) == token
end

local function ended_with(id, unit, token, word)
  return redis.call('HGET', P .. 'units:' .. id, 'o:' .. unit) == token .. ':' .. word
end

local function begin_lease(id, unit, worker, lane, lease_ms, now)
  local token = int(redis.call('INCR', P .. 'fence'))
  local units = P .. 'units:' .. id
  redis.call('HSET', units, 't:' .. unit, token, 'w:' .. unit, worker, 'g:' .. unit, lane, 'l:' .. unit, lease_ms)
  redis.call('ZADD', P .. 'leases', int(now + lease_ms), id .. '/' .. unit)
  redis.call('HINCRBY', tenant_key((get(id, 'tenant'))), 'leased', 1)
  redis.call('HSET', P .. 'running:' .. id, unit, 0)
  redis.call('HSETNX', job_key(id), 'since', int(now))
  redis.call('HSETNX', job_key(id), 'started', int(now))
  redis.call('HDEL', job_key(id), 'idle')
  local attempt = redis.call('HINCRBY', units, 'a:' .. unit, 1)
  tally('running/' .. lane)
  tally('claimed/' .. (attempt == 1 and 'first' or 'again'))
  return token, attempt
end

-- The lane of the worker that holds a unit; a lease of the generation before 4 does not say it.
local function lane_of(id, unit)
  local own = get(id, 'lane')
  return redis.call('HGET', P .. 'units:' .. id, 'g:' .. unit) or (own == 'gpu' and own) or 'cpu'
end

-- Takes a lease away and returns how many the job still has.
local function end_lease(id, unit, word, now)
  local units = P .. 'units:' .. id
  local token = redis.call('HGET', units, 't:' .. unit)
  tally('running/' .. lane_of(id, unit), -1)
  tally('units/' .. word .. '/' .. get(id, 'kind'))
  redis.call('HDEL', units, 't:' .. unit, 'w:' .. unit, 'g:' .. unit, 'l:' .. unit)
  redis.call('HSET', units, 'o:' .. unit, token .. ':' .. word)
  redis.call('ZREM', P .. 'leases', id .. '/' .. unit)
  redis.call('HINCRBY', tenant_key((get(id, 'tenant'))), 'leased', -1)
  redis.call('HDEL', P .. 'running:' .. id, unit)
  local left = redis.call('HLEN', P .. 'running:' .. id)
  if left == 0 then
    local since, ran = get(id, 'since', 'ran')
    redis.call('HSET', job_key(id), 'ran', int((ran or 0) + now - since), 'idle', int(now))
    redis.call('HDEL', job_key(id), 'since')
  end
  return left
end

-- A tenant with a limit of running jobs may run another one: its jobs were rung for when they could not be taken yet.
local function ring_waiting(tenant, now)
  if tenant_numbers(tenant, 'max_running_jobs') > 0 then
    for _, pool in ipairs(device.pools_of(tenant)) do
      for _, id in ipairs(redis.call('ZRANGE', P .. 'ready:' .. pool .. ':' .. tenant, 0, 0)) do
        ring(pool, redis.call('ZCARD', P .. 'open:' .. id), now)
      end
    end
  end
end
