-- What clients ask for: submit, cancel, retry, delete, list, position.

-- From now on the clock runs for what limits the job.
local function begin_limits(id, now)
  local deadline_ms, queue_ms = get(id, 'deadline_ms', 'queue_ms')
  for what, length_ms in pairs({deadline = tonumber(deadline_ms), queue = tonumber(queue_ms)}) do
    if length_ms > 0 then
      redis.call('ZADD', P .. 'due', int(now + length_ms), id .. '/' .. what)
    end
  end
end

-- Puts a job that is recorded at the end of the queue.
local function enqueue(id, now)
  redis.call('HSET', job_key(id), 'place', redis.call('INCR', P .. 'places'))
  set_state(id, QUEUED, now)
  begin_limits(id, now)
  open_rest(id, now)
end

local function submit(_, args)
  local id, tenant, kind, lane, spec, hash, request, units, name, deadline_ms, queue_ms, mega_ops = unpack(args, 1, 12)
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
  local refused = job_refused(tenant, tonumber(mega_ops))
  if refused then
    return refused
  end
  local now = now_ms()
  if args[13] and not put_record(tenant, args, 13, id, now) then
    return {'TAKEN', args[14]}
  end
  redis.call('HSET', job_key(id), 'id', id, 'tenant', tenant, 'kind', kind, 'lane', lane, 'spec', spec,
    'spec_hash', hash, 'request_id', request, 'units', units, 'display_name', name, 'deadline_ms', deadline_ms,
    'queue_ms', queue_ms, 'mega_ops', mega_ops, 'created', int(now), 'version', 0)
  redis.call('HSET', job_key(id), 'progress', cjson.encode(progress_of(id, now)))
  if request ~= '' then
    redis.call('SET', P .. 'req:' .. tenant .. ':' .. request, hash .. ' ' .. id, 'PX', REQUEST_KEPT_MS)
  end
  enqueue(id, now)
  redis.call('ZADD', P .. 'idx:' .. tenant, (get(id, 'place')), id)
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
  refused = job_refused(tenant, tonumber((get(id, 'mega_ops'))))
  if refused then
    return refused
  end
  for _, field in ipairs(redis.call('HKEYS', P .. 'units:' .. id)) do
    if string.sub(field, 1, 2) == 'a:' then
      redis.call('HDEL', P .. 'units:' .. id, field)
    end
  end
  redis.call('HDEL', job_key(id), 'error', 'lost', 'overdue', 'ended', 'end_token', 'recovering')
  redis.call('HSET', job_key(id), 'last_op', operation)
  redis.call('ZREM', P .. 'ended', id)
  enqueue(id, now_ms())
  return reply(id)
end

local function forget_job(id)
  local tenant, request = get(id, 'tenant', 'request_id')
  redis.call('ZREM', P .. 'idx:' .. tenant, id)
  redis.call('ZREM', P .. 'ended', id)
  if request ~= '' then
    redis.call('UNLINK', P .. 'req:' .. tenant .. ':' .. request)
  end
  redis.call('UNLINK', job_key(id), P .. 'units:' .. id, P .. 'running:' .. id, P .. 'results:' .. id,
    P .. 'open:' .. id, P .. 'ev:' .. id)
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

-- Jobs of the same tenant that workers take first, workers that could take it, whether a worker of it was lost.
local function position(_, args)
  local id = args[1]
  local state, lane, tenant, place, recovering = get(id, 'state', 'lane', 'tenant', 'place', 'recovering')
  if tonumber(state) ~= QUEUED then
    return {0, 0, 0}
  end
  local function before(own)
    return redis.call('ZCOUNT', P .. 'ready:' .. own .. ':' .. tenant, '-inf', '(' .. place)
  end
  local now, listening, ahead = now_ms(), 0, nil
  for _, own in ipairs(lane == 'any' and {'cpu', 'gpu'} or {lane}) do
    local workers = live('workers', own, now)
    if workers > 0 or lane ~= 'any' then
      ahead = math.min(ahead or before(own), before(own))
    end
    listening = listening + workers
  end
  return {(ahead or 0) + before('any'), listening, tonumber(recovering or 0)}
end

local function results(_, args)
  local tenant, id = unpack(args)
  local _, refused = asked(tenant, id)
  return refused or {'OK', redis.call('HGETALL', P .. 'results:' .. id), tonumber((get(id, 'units')))}
end
