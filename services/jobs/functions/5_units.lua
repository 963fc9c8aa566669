-- What workers do with a unit: claim, renew, metric, commit, finish, fail, release, stopped.
-- A call that is repeated because its answer was lost has no second effect; a stale token has none at all.

-- Refuses a token that is good no more.
local function stale(what)
  tally('stale/' .. what)
  return 'LOST'
end

local function lease(id, unit, token, attempt, deadline)
  local tenant, units, kind, spec, trace, opened = get(id, 'tenant', 'units', 'kind', 'spec', 'trace', 'opened')
  local checkpoint, ready, first =
    unpack(redis.call('HMGET', P .. 'units:' .. id, 'c:' .. unit, 'r:' .. unit, 'f:' .. unit))
  ready = math.max(tonumber(ready or 0), tonumber(opened or 0))
  return {id, tenant, unit, tonumber(units), token, attempt, kind, spec, checkpoint or '', deadline,
    trace or '', int(ready), first or token}
end

local function claim(_, args)
  local claim_id, worker, lane, lease_ms, class, gib = unpack(args)
  local known = redis.call('GET', P .. 'claim:' .. claim_id)
  if known then
    local id, unit, token, attempt, deadline = unpack(cjson.decode(known))
    return state_of(id) and lease(id, unit, token, attempt, deadline)
  end
  local id, unit = pop_unit(lane, class or '', gib or '0')
  if not id then
    return false
  end
  local now = now_ms()
  local deadline = int(now + lease_ms)
  local token, attempt = begin_lease(id, unit, worker, lane, lease_ms, now)
  if get(id, 'trace') then
    redis.call('HSETNX', P .. 'units:' .. id, 'f:' .. unit, token)
  end
  if state_of(id) == QUEUED then
    redis.call('HDEL', job_key(id), 'recovering')
    set_state(id, RUNNING, now)
  end
  unit_event(id, unit, 'claimed', worker, attempt, now)
  redis.call('SET', P .. 'claim:' .. claim_id, cjson.encode({id, unit, token, attempt, deadline}), 'PX', CLAIM_KEPT_MS)
  return lease(id, unit, token, attempt, deadline)
end

local function renew(_, args)
  local id, unit, token, lease_ms, fraction, message, checkpoint = unpack(args)
  if not holds(id, unit, token) then
    return stale('renew')
  end
  local now = now_ms()
  redis.call('ZADD', P .. 'leases', int(now + lease_ms), id .. '/' .. unit)
  redis.call('HSET', P .. 'units:' .. id, 'l:' .. unit, lease_ms)
  if checkpoint ~= '' then
    redis.call('HSET', P .. 'units:' .. id, 'c:' .. unit, checkpoint)
  end
  if fraction ~= '' then
    redis.call('HSET', P .. 'running:' .. id, unit, fraction)
    redis.call('HSET', job_key(id), 'message', message)
    tell_progress(id, now)
  end
  return state_of(id) == CANCELLING and 'CANCEL' or 'OK'
end

local function metric(_, args)
  local id, unit, token, name, value, step = unpack(args)
  if not holds(id, unit, token) then
    return stale('metric')
  end
  local field, told = 'm:' .. unit .. ':' .. name, step .. '=' .. value
  if redis.call('HGET', P .. 'units:' .. id, field) ~= told then
    redis.call('HSET', P .. 'units:' .. id, field, told)
    event(id, 'metric', {name = name, value = tonumber(value), step = tonumber(step)}, now_ms())
  end
  return 'OK'
end

-- After a unit's result is kept: the last one opens the closing unit.
local function settle_commit(id, left, now)
  if state_of(id) == CANCELLING then
    return settle_cancel(id, left, now)
  end
  local units = tonumber((get(id, 'units')))
  if units_done(id) == units then
    open_units(id, {units}, now)
  end
end

local function commit(_, args)
  local id, unit, token, worker, digest, stats = unpack(args)
  local kept = redis.call('HGET', P .. 'results:' .. id, unit)
  if kept then
    local first_token, first_digest = unpack(cjson.decode(kept))
    if first_token ~= token then
      return stale('commit')
    end
    return first_digest == digest and 'ALREADY' or 'OTHER'
  end
  if not holds(id, unit, token) then
    return stale('commit')
  end
  if unit == get(id, 'units') then
    return 'CLOSING'
  end
  local now = now_ms()
  local attempt = tonumber(redis.call('HGET', P .. 'units:' .. id, 'a:' .. unit))
  redis.call('HSET', P .. 'results:' .. id, unit, cjson.encode({token, digest, stats}))
  redis.call('HDEL', P .. 'units:' .. id, 'c:' .. unit)
  local left = end_lease(id, unit, 'committed', now)
  unit_event(id, tonumber(unit), 'committed', worker, attempt, now)
  tell_progress(id, now)
  settle_commit(id, left, now)
  return 'OK'
end

-- Whether the holder of this token may end the job: 'OK', 'LOST', or 'DONE' where nothing is left to do.
local function may_end(id, unit, token, now)
  if redis.call('HGET', job_key(id), 'end_token') == token or ended_with(id, unit, token, 'cancelled') then
    return 'DONE'
  end
  if not holds(id, unit, token) then
    return stale('end')
  end
  if state_of(id) == CANCELLING then
    settle_cancel(id, end_lease(id, unit, 'cancelled', now), now)
    return 'DONE'
  end
  return 'OK'
end

-- Writes the record that comes with the end of a job; false where its name and the other one are taken.
local function register_outcome(id, args, first, now)
  if not args[first] then
    return true
  end
  local used = put_record((get(id, 'tenant')), args, first, id, now)
  if used then
    redis.call('HSET', job_key(id), 'registered', used)
    local weights = args[first] == 'model' and string.match(args[first + 5], '%S+')
    if weights then
      redis.call('HSET', job_key(id), 'made', weights)
    end
  end
  return used
end

local function finish(_, args)
  local id, unit, token, worker, result = unpack(args, 1, 5)
  local now = now_ms()
  local verdict = may_end(id, unit, token, now)
  if verdict == 'OK' then
    local units = get(id, 'units')
    if unit ~= units or units_done(id) ~= tonumber(units) then
      return {'NOT_CLOSING'}
    end
    if not register_outcome(id, args, 6, now) then
      return {'TAKEN', args[7]}
    end
    local attempt = tonumber(redis.call('HGET', P .. 'units:' .. id, 'a:' .. unit))
    redis.call('HSET', P .. 'results:' .. id, unit, cjson.encode({token, '', '{}'}))
    redis.call('HSET', job_key(id), 'result', result, 'end_token', token)
    end_lease(id, unit, 'committed', now)
    unit_event(id, tonumber(unit), 'committed', worker, attempt, now)
    tell_progress(id, now)
    end_job(id, SUCCEEDED, now)
  end
  return {verdict, redis.call('HGET', job_key(id), 'registered') or ''}
end

local function fail(_, args)
  local id, unit, token, _, status = unpack(args, 1, 5)
  local now = now_ms()
  local verdict = may_end(id, unit, token, now)
  if verdict == 'OK' then
    if not register_outcome(id, args, 6, now) then
      return {'TAKEN', args[7]}
    end
    redis.call('HSET', job_key(id), 'error', status, 'end_token', token)
    end_job(id, FAILED, now, nil, status)
  end
  return {verdict, redis.call('HGET', job_key(id), 'registered') or ''}
end

-- A worker that drains gives its unit back; the attempt is not charged.
local function release(_, args)
  local id, unit, token, worker = unpack(args)
  if ended_with(id, unit, token, 'released') then
    return 'OK'
  end
  if not holds(id, unit, token) then
    return stale('release')
  end
  local now = now_ms()
  local attempt = redis.call('HINCRBY', P .. 'units:' .. id, 'a:' .. unit, -1)
  local left = end_lease(id, unit, 'released', now)
  unit_event(id, tonumber(unit), 'released', worker, attempt + 1, now)
  if state_of(id) == CANCELLING then
    settle_cancel(id, left, now)
  else
    reopen(id, unit, left, now, 0)
  end
  return 'OK'
end

-- A worker has stopped because the job is being cancelled.
local function stopped(_, args)
  local id, unit, token = unpack(args)
  if ended_with(id, unit, token, 'cancelled') then
    return 'OK'
  end
  if not holds(id, unit, token) then
    return stale('stopped')
  end
  if state_of(id) ~= CANCELLING then
    return 'STATE'
  end
  local now = now_ms()
  settle_cancel(id, end_lease(id, unit, 'cancelled', now), now)
  return 'OK'
end
