-- What clients ask for: submit, cancel, retry, delete, list, position.

-- Puts a job that is recorded at the end of the queue, or lets it wait for others; it keeps the place meanwhile.
local function enqueue(id, now)
  redis.call('HSET', job_key(id), 'place', redis.call('INCR', P .. 'places'))
  set_state(id, QUEUED, now)
  begin_limit(id, 'deadline', now)
  for dependency in dependencies(id) do
    redis.call('SADD', P .. 'waiters:' .. dependency, id)
  end
  set_off(id, now)
end

-- What a submit is answered with that was made before, under its request id or its own; nil for a new one.
local function made_before(id, tenant, request, hash)
  local known = request ~= '' and redis.call('GET', P .. 'req:' .. tenant .. ':' .. request)
  if known then
    local first_hash, first_id = string.match(known, '^(%S+) (.+)$')
    if first_hash ~= hash then
      return {'REUSED'}
    end
    id = first_id
  end
  local first_tenant, first_hash = get(id, 'tenant', 'spec_hash')
  if first_hash then
    return first_tenant == tenant and first_hash == hash and reply(id) or {'TAKEN', id}
  end
end

-- The job of this content that succeeded last; a training only while the model is there that it made.
local function kept_job(tenant, content, pins)
  local id = redis.call('HGET', P .. 'kept:' .. tenant, content .. ' ' .. pins)
  local kind, registered = get(id or '', 'kind', 'registered')
  if kind == 'training' and redis.call('HGET', P .. 'reg:' .. tenant .. ':model:owner', registered or '') ~= id then
    return nil
  end
  return id or nil
end

-- The job that a submit need not make: it was made before, or the same was computed.
local function same(_, args)
  local id, tenant, request, hash, content, pins = unpack(args)
  local before = made_before(id, tenant, request, hash)
  local kept = not before and content ~= '' and kept_job(tenant, content, pins)
  return before or (kept and reply(kept)) or {'NONE'}
end

local function submit(_, args)
  local id, tenant, kind, lane, spec, hash, request, units, name, deadline_ms, queue_ms, mega_ops = unpack(args, 1, 12)
  local makes, content, pins, after, trace, need = unpack(args, 13, 18)
  local before = made_before(id, tenant, request, hash)
  if before then
    if before[1] == 'OK' then
      tally('repeated')
    end
    return before
  end
  local trainings, record = read_models(args, 19)
  local refused = in_vain(tenant, after, trainings) or job_refused(tenant, tonumber(mega_ops))
  if refused then
    return refused
  end
  local now = now_ms()
  if args[record] and not put_record(tenant, args, record, id, now) then
    return {'TAKEN', args[record + 1]}
  end
  redis.call('HSET', job_key(id), 'id', id, 'tenant', tenant, 'kind', kind, 'lane', lane, 'spec', spec,
    'spec_hash', hash, 'request_id', request, 'units', units, 'display_name', name, 'deadline_ms', deadline_ms,
    'queue_ms', queue_ms, 'mega_ops', mega_ops, 'created', int(now), 'version', 0, 'makes', makes, 'content', content,
    'pins', pins, 'after', after)
  if need ~= '' then
    redis.call('HSET', job_key(id), 'need', need)
  end
  keep_models(id, args, 19)
  if trace ~= '' then
    redis.call('HSET', job_key(id), 'trace', trace)
  end
  redis.call('HSET', job_key(id), 'progress', cjson.encode(progress_of(id, now)))
  if request ~= '' then
    redis.call('SET', P .. 'req:' .. tenant .. ':' .. request, hash .. ' ' .. id, 'PX', REQUEST_KEPT_MS)
  end
  enqueue(id, now)
  redis.call('ZADD', P .. 'idx:' .. tenant, (get(id, 'place')), id)
  tally('submitted/' .. kind)
  return reply(id)
end

-- The state of a job of this tenant, or the answer that refuses: no such job, or another etag.
local function asked(tenant, id, etag)
  local owner, state, version = get(id, 'tenant', 'state', 'version')
  if owner ~= tenant then
    return nil, {'NOT_FOUND'}
  end
  if etag and etag ~= '' and etag ~= version then
    return nil, {'ETAG', version}
  end
  return tonumber(state)
end

local function cancel(_, args)
  local tenant, id, etag = unpack(args)
  local owner, state = get(id, 'tenant', 'state')
  state = tonumber(state)
  if owner == tenant and (state == CANCELLING or state == CANCELLED) then
    return reply(id)
  end
  local refused
  state, refused = asked(tenant, id, etag)
  if refused then
    return refused
  end
  local now = now_ms()
  if state == QUEUED then
    end_job(id, CANCELLED, now)
  elseif state == RUNNING then
    set_state(id, CANCELLING, now)
    close_units(id)
    settle_cancel(id, redis.call('HLEN', P .. 'running:' .. id), now)
  else
    return {'STATE', state}
  end
  return reply(id)
end

local function retry(_, args)
  local tenant, id, operation = unpack(args)
  local state, refused = asked(tenant, id)
  if refused then
    return refused
  end
  if get(id, 'last_op') == operation then
    return reply(id)
  end
  if not TERMINAL[state] or state == SUCCEEDED then
    return {'STATE', state}
  end
  refused = in_vain(tenant, (get(id, 'after')) or '', teachers(id))
    or job_refused(tenant, tonumber((get(id, 'mega_ops'))))
  if refused then
    return refused
  end
  for _, attempts in ipairs(redis.call('HKEYS', P .. 'units:' .. id)) do
    if string.sub(attempts, 1, 2) == 'a:' then
      redis.call('HDEL', P .. 'units:' .. id, attempts)
    end
  end
  redis.call('HDEL', job_key(id), 'error', 'lost', 'overdue', 'blocked', 'ended', 'end_token', 'recovering')
  redis.call('HSET', job_key(id), 'last_op', operation)
  redis.call('ZREM', P .. 'ended', id)
  enqueue(id, now_ms())
  return reply(id)
end

local function forget_job(id)
  local tenant, request, content, pins = get(id, 'tenant', 'request_id', 'content', 'pins')
  tally('jobs/' .. state_of(id) .. '/' .. get(id, 'kind'), -1)
  local kept, same_content = P .. 'kept:' .. tenant, (content or '') .. ' ' .. (pins or '')
  if redis.call('HGET', kept, same_content) == id then
    redis.call('HDEL', kept, same_content)
  end
  redis.call('ZREM', P .. 'idx:' .. tenant, id)
  redis.call('ZREM', P .. 'ended', id)
  if request ~= '' then
    redis.call('UNLINK', P .. 'req:' .. tenant .. ':' .. request)
  end
  redis.call('UNLINK', job_key(id), P .. 'units:' .. id, P .. 'running:' .. id, P .. 'results:' .. id,
    P .. 'open:' .. id, P .. 'ev:' .. id, P .. 'wait:' .. id)
end

-- Whether somebody waits for it still: that it has succeeded is not all that they wait for.
local function is_awaited(id)
  return redis.call('EXISTS', P .. 'waiters:' .. id) == 1
end

local function delete(_, args)
  local tenant, id, etag, operation = unpack(args)
  local done = P .. 'done:' .. operation
  if redis.call('EXISTS', done) == 1 then
    return {'OK'}
  end
  local state, refused = asked(tenant, id, etag)
  if refused then
    return refused
  end
  if not TERMINAL[state] then
    return {'STATE', state}
  end
  if is_awaited(id) then
    return {'AWAITED', redis.call('SRANDMEMBER', P .. 'waiters:' .. id)}
  end
  forget_job(id)
  redis.call('SET', done, id, 'PX', DONE_KEPT_MS)
  return {'OK'}
end

-- Newest first; reads at most `scan` records, so a filter that matches little gives a short page with a cursor.
local function list(_, args)
  local tenant, before, limit, states, kinds, earliest, latest, scan = unpack(args)
  local ids = redis.call('ZREVRANGEBYSCORE', P .. 'idx:' .. tenant, before == '0' and '+inf' or '(' .. before, '-inf',
    'WITHSCORES', 'LIMIT', 0, scan)
  local page, cursor = {}, '0'
  for i = 1, #ids, 2 do
    local state, kind, created = get(ids[i], 'state', 'kind', 'created')
    if string.find(states, state, 1, true) and string.find(kinds, ' ' .. kind .. ' ', 1, true)
      and tonumber(created) >= tonumber(earliest) and tonumber(created) <= tonumber(latest) then
      page[#page + 1] = redis.call('HGETALL', job_key(ids[i]))
    end
    cursor = ids[i + 1]
    if #page == tonumber(limit) then
      break
    end
  end
  local more = cursor ~= '0' and redis.call('ZCOUNT', P .. 'idx:' .. tenant, '-inf', '(' .. cursor) > 0
  return {more and cursor or '0', page}
end

-- Jobs of the same tenant that workers take first, workers that could take it, whether a worker of it was lost, the jobs
-- that it waits for, and, where it needs something of a device, what there is.
local function position(_, args)
  local id = args[1]
  local state, lane, tenant, place, recovering = get(id, 'state', 'lane', 'tenant', 'place', 'recovering')
  if tonumber(state) ~= QUEUED then
    return {0, 0, 0, {}, {}}
  end
  local function before(own)
    return redis.call('ZCOUNT', P .. 'ready:' .. own .. ':' .. tenant, '-inf', '(' .. place)
  end
  local now, listening, ahead, has, pool = now_ms(), 0, nil, {}, pool_of(id)
  local _, class, gib = device.split(pool)
  for _, own in ipairs(lane == 'any' and {'cpu', 'gpu'} or {lane}) do
    local workers = device.fitting('workers', own, class, gib, now)
    if workers > 0 or lane ~= 'any' then
      local here = before(own)
      for _, other in ipairs(redis.call('SMEMBERS', P .. 'pools:' .. tenant)) do
        if device.shared(own, pool, other, now) then
          here = here + before(other)
        end
      end
      ahead = math.min(ahead or here, here)
    end
    listening = listening + workers
    if class then
      device.shapes(own, now, has)
    end
  end
  return {(ahead or 0) + before('any'), listening, tonumber(recovering or 0), awaited(id), has}
end

local function results(_, args)
  local tenant, id = unpack(args)
  local _, refused = asked(tenant, id)
  return refused or {'OK', redis.call('HGETALL', P .. 'results:' .. id), tonumber((get(id, 'units')))}
end
