-- Models and datasets by name, and the artifacts that they keep from lapsing.

local function manifest_key(tenant, sha)
  return P .. 'a:' .. tenant .. ':' .. sha .. ':m'
end

-- Pins count: what is pinned twice lapses after it was unpinned twice. Artifacts that are not there are passed over.
local function pin(tenant, sha)
  if redis.call('EXISTS', manifest_key(tenant, sha)) == 0 then
    return false
  end
  redis.call('HINCRBY', manifest_key(tenant, sha), 'pins', 1)
  redis.call('HSET', manifest_key(tenant, sha), 'expires', 0)
  redis.call('ZREM', P .. 'lapse', tenant .. '/' .. sha)
  return true
end

local function unpin(tenant, sha, ttl_ms, now)
  local pins = tonumber(redis.call('HGET', manifest_key(tenant, sha), 'pins'))
  if not pins or pins == 0 then
    return pins ~= nil
  end
  if redis.call('HINCRBY', manifest_key(tenant, sha), 'pins', -1) == 0 then
    local expires = int(now + ttl_ms)
    redis.call('HSET', manifest_key(tenant, sha), 'expires', expires)
    redis.call('ZADD', P .. 'lapse', expires, tenant .. '/' .. sha)
  end
  return true
end

local function pin_all(tenant, list)
  local pinned = {}
  for sha in string.gmatch(list, '%S+') do
    if pin(tenant, sha) then
      pinned[#pinned + 1] = sha
    end
  end
  return table.concat(pinned, ' ')
end

local function unpin_all(tenant, list, ttl_ms, now)
  for sha in string.gmatch(list or '', '%S+') do
    unpin(tenant, sha, ttl_ms, now)
  end
end

-- `owner` is the job that writes; a name that another job wrote is taken, one that nobody owns is not.
local function write_entry(tenant, kind, id, record, owner, pins, ttl_ms, now)
  local base = P .. 'reg:' .. tenant .. ':' .. kind .. ':'
  local known = redis.call('HGET', base .. 'owner', id)
  if known and known ~= '' and known ~= owner then
    return nil
  end
  if not known then
    redis.call('ZADD', base .. 'order', redis.call('INCR', P .. 'entries'), id)
  end
  -- The new pins come first, so that an artifact of both lists never stands without one.
  local pinned, before = pin_all(tenant, pins), redis.call('HGET', base .. 'pins', id)
  unpin_all(tenant, before, ttl_ms, now)
  redis.call('HSET', base .. 'owner', id, owner)
  redis.call('HSET', base .. 'record', id, record)
  redis.call('HSET', base .. 'pins', id, pinned)
  return id
end

-- Writes a record under its id or, where that is taken, its other id; returns the id, nil where both are taken.
-- args from `first`: kind, id, record, other id, other record, pins, artifact ttl.
local function put_record(tenant, args, first, owner, now)
  local kind, id, record, other, other_record, pins, ttl_ms = unpack(args, first, first + 6)
  local used = write_entry(tenant, kind, id, record, owner, pins, ttl_ms, now)
  if not used and other ~= '' then
    used = write_entry(tenant, kind, other, other_record, owner, pins, ttl_ms, now)
  end
  return used
end

-- Without an owner: the name must be free, or hold this very record.
local function register(_, args)
  local tenant, owner, kind, id, record = unpack(args, 1, 5)
  local known = redis.call('HGET', P .. 'reg:' .. tenant .. ':' .. kind .. ':record', id)
  if known == record then
    return {'OK', id}
  end
  if known and owner == '' then
    return {'TAKEN', id}
  end
  local used = put_record(tenant, args, 3, owner, now_ms())
  return used and {'OK', used} or {'TAKEN', id}
end

local function registered(_, args)
  local tenant, kind, before, limit = unpack(args)
  local base = P .. 'reg:' .. tenant .. ':' .. kind .. ':'
  local ids = redis.call('ZREVRANGEBYSCORE', base .. 'order', before == '0' and '+inf' or '(' .. before, '-inf',
    'WITHSCORES', 'LIMIT', 0, limit + 1)
  local records, cursor = {}, '0'
  for i = 1, math.min(#ids, 2 * limit), 2 do
    records[#records + 1] = redis.call('HGET', base .. 'record', ids[i])
    cursor = ids[i + 1]
  end
  return {#ids > 2 * limit and cursor or '0', records}
end

local function unregister(_, args)
  local tenant, kind, id, operation, ttl_ms = unpack(args)
  local base, done = P .. 'reg:' .. tenant .. ':' .. kind .. ':', P .. 'done:' .. operation
  if redis.call('EXISTS', done) == 1 then
    return {'OK'}
  end
  if redis.call('ZREM', base .. 'order', id) == 0 then
    return {'NOT_FOUND'}
  end
  unpin_all(tenant, redis.call('HGET', base .. 'pins', id), ttl_ms, now_ms())
  for _, part in ipairs({'record', 'owner', 'pins'}) do
    redis.call('HDEL', base .. part, id)
  end
  redis.call('SET', done, id, 'PX', DONE_KEPT_MS)
  return {'OK'}
end
