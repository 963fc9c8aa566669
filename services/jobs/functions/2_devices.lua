-- What jobs need of a worker's device, and what workers have. Both are written 'CLASS/GIB': a name that the operator
-- gave a class of devices, '' for none; whole GiB of memory. A pool is a job's LANE, or 'LANE/CLASS/GIB' where it needs
-- something: what the keys ready:, going: and tenants: are made of. A worker takes from every pool that it fits.

-- One local for all of them, as for shelves.
local device = {}

local function live(set, lane, now)
  return redis.call('ZCOUNT', P .. set .. ':' .. lane, int(now), '+inf')
end

-- Lane, class and GiB of a pool; without a need the last two are nil.
function device.split(pool)
  local lane, class, gib = string.match(pool, '^(%a+)/([^/]*)/(%d+)$')
  return lane or pool, class, gib and tonumber(gib)
end

-- A tenant has open units in a pool, and later none any more.
function device.list(pool, tenant)
  redis.call('SADD', P .. 'tenants:' .. pool, tenant)
  local lane, class, gib = device.split(pool)
  if class then
    redis.call('ZADD', P .. 'needs:' .. lane .. ':' .. class, gib, gib)
    redis.call('SADD', P .. 'pools', pool)
    redis.call('SADD', P .. 'pools:' .. tenant, pool)
  end
end

function device.unlist(pool, tenant)
  redis.call('SREM', P .. 'tenants:' .. pool, tenant)
  local lane, class, gib = device.split(pool)
  if class then
    redis.call('SREM', P .. 'pools:' .. tenant, pool)
    if redis.call('EXISTS', P .. 'tenants:' .. pool) == 0 then
      redis.call('ZREM', P .. 'needs:' .. lane .. ':' .. class, gib)
      redis.call('SREM', P .. 'pools', pool)
    end
  end
end

-- The pools that a worker takes from. Needs are kept by class, so what is asked of other classes costs it nothing, and
-- there are at most 2 x 2 x 1025 pools to look at, however many jobs need something.
function device.pools(lane, class, gib)
  local found = {'any', lane}
  for _, own in ipairs({'any', lane}) do
    for _, wanted in ipairs(class == '' and {''} or {'', class}) do
      for _, least in ipairs(redis.call('ZRANGEBYSCORE', P .. 'needs:' .. own .. ':' .. wanted, '-inf', gib)) do
        found[#found + 1] = own .. '/' .. wanted .. '/' .. least
      end
    end
  end
  return found
end

-- The pools in which a tenant has open units.
function device.pools_of(tenant)
  local found = {'any', 'cpu', 'gpu'}
  for _, pool in ipairs(redis.call('SMEMBERS', P .. 'pools:' .. tenant)) do
    found[#found + 1] = pool
  end
  return found
end

-- How many workers of a lane fit a need, out of `workers` or `idle`.
function device.fitting(set, lane, class, gib, now)
  if not class then
    return live(set, lane, now)
  end
  local total = 0
  for _, shape in ipairs(redis.call('SMEMBERS', P .. 'shapes:' .. lane)) do
    local _, has, most = device.split(lane .. '/' .. shape)
    if (class == '' or class == has) and gib <= most then
      total = total + live(set, lane .. '/' .. shape, now)
    end
  end
  return total
end

-- Whether some worker of a lane takes from both of two pools.
function device.shared(lane, one, other, now)
  local first_lane, class, gib = device.split(one)
  local second_lane, second_class, second_gib = device.split(other)
  if (first_lane ~= 'any' and first_lane ~= lane) or (second_lane ~= 'any' and second_lane ~= lane) then
    return false
  end
  if class and second_class and class ~= '' and second_class ~= '' and class ~= second_class then
    return false
  end
  local both = (class and class ~= '') and class or second_class or class
  local most = math.max(gib or 0, second_gib or 0)
  return device.fitting('workers', lane, both, most, now) > 0
end

-- What the live workers of a lane have, and how many have it: for those who wait for one that has more.
function device.shapes(lane, now, found)
  for _, shape in ipairs(redis.call('SMEMBERS', P .. 'shapes:' .. lane)) do
    local _, class, gib = device.split(lane .. '/' .. shape)
    local number = live('workers', lane .. '/' .. shape, now)
    if number > 0 then
      found[#found + 1] = {lane, class, gib, number}
    end
  end
  return found
end

function device.announce(id, lane, class, gib, lapse, busy)
  local shape = class .. '/' .. gib
  redis.call('HSET', P .. 'shape', id, lane .. '/' .. shape)
  redis.call('SADD', P .. 'shapes:' .. lane, shape)
  redis.call('ZADD', P .. 'workers:' .. lane .. '/' .. shape, lapse, id)
  redis.call(busy and 'ZREM' or 'ZADD', P .. 'idle:' .. lane .. '/' .. shape, unpack(busy and {id} or {lapse, id}))
end

function device.forget(id)
  local whole = redis.call('HGET', P .. 'shape', id)
  if whole then
    redis.call('HDEL', P .. 'shape', id)
    redis.call('ZREM', P .. 'workers:' .. whole, id)
    redis.call('ZREM', P .. 'idle:' .. whole, id)
    if redis.call('EXISTS', P .. 'workers:' .. whole) == 0 then
      local lane, shape = string.match(whole, '^(%a+)/(.+)$')
      redis.call('SREM', P .. 'shapes:' .. lane, shape)
    end
  end
end
