-- What metrics are made of: counts that the other functions keep as they go, so that reading them costs the same for
-- ten jobs as for a million. All are fields of `counts`; they only grow, but for those marked *, which say how it stands.
--
--   jobs/STATE/KIND *          jobs that are kept, by state
--   ready/LANE *               open units; LANE: any, cpu, gpu
--   running/LANE *             leased units, by the lane of their workers
--   bytes *                    sum of all bytes:TENANT
--   submitted/KIND, repeated   jobs that were accepted, and submits that were answered with a job made before
--   ended/STATE/KIND           ends of jobs
--   claimed/first, .../again   leases, by whether the unit had had one
--   units/WORD/KIND            ends of leases: committed, released, cancelled, dropped (the job ended), told (somebody
--                              saw the worker die or give up), lost (the lease ran out)
--   stale/CALL                 calls that were refused for a stale token
--   events/TYPE                events of jobs
--   wait/KIND/BOUND, .../sum   how long jobs waited for a worker since one might take them, in milliseconds
--   run/KIND/BOUND, .../sum    how long some unit of an ended job was at work, in milliseconds
--   counted                    1: those marked * were counted from the beginning, or by `recount_once`

local MOST_WORKERS = 1000

local function set_count(what, number)
  redis.call('HSET', P .. 'counts', what, int(number))
end

local function add_job(id, totals, now)
  local state, kind, lane = get(id, 'state', 'kind', 'lane')
  local function add(what, number)
    totals[what] = (totals[what] or 0) + number
  end
  add('jobs/' .. state .. '/' .. kind, 1)
  local open = redis.call('ZCARD', P .. 'open:' .. id)
  add('ready/' .. lane, open)
  if open > 0 and tonumber(state) == QUEUED then
    redis.call('ZADD', P .. 'queued:' .. lane, 'NX', int(now), id)
  end
  for _, unit in ipairs(redis.call('HKEYS', P .. 'running:' .. id)) do
    add('running/' .. lane_of(id, unit), 1)
  end
end

-- Every job and every tenant's bytes, once each.
local function walk(now)
  local totals, seen, cursor = {bytes = 0}, {}, '0'
  repeat
    local page
    cursor, page = unpack(redis.call('SCAN', cursor, 'MATCH', P .. '[jb][oy][bt]*', 'COUNT', 1000))
    for _, key in ipairs(page) do
      local kind, name = string.match(key, '^{sparring}:(%a+):(.+)$')
      if not seen[key] and kind == 'job' then
        add_job(name, totals, now)
      elseif not seen[key] and kind == 'bytes' then
        totals.bytes = totals.bytes + redis.call('GET', key)
      end
      seen[key] = true
    end
  until cursor == '0'
  return totals
end

-- A store that an earlier generation filled, or that was restored without its counts, is counted from the ground, once.
local function recount_once(now)
  if redis.call('HEXISTS', P .. 'counts', 'counted') == 1 then
    return
  end
  for _, what in ipairs(redis.call('HKEYS', P .. 'counts')) do
    if string.match(what, '^jobs/') or string.match(what, '^ready/') or string.match(what, '^running/') then
      redis.call('HDEL', P .. 'counts', what)
    end
  end
  for what, number in pairs(walk(now)) do
    set_count(what, number)
  end
  set_count('counted', 1)
end

-- Everything at once: the counts; the bounds of their histograms; for each lane its name, QUEUED jobs that could be
-- taken, for how long the first of them has waited, live workers, bells; leases that ran out and were not taken back;
-- and the records of at most a thousand workers.
local function measure()
  local now, lanes, known = now_ms(), {}, {}
  for _, lane in ipairs({'any', 'cpu', 'gpu'}) do
    local first = redis.call('ZRANGE', P .. 'queued:' .. lane, 0, 0, 'WITHSCORES')[2]
    lanes[#lanes + 1] = {lane, redis.call('ZCARD', P .. 'queued:' .. lane), first and math.max(0, now - first) or 0,
      live('workers', lane, now), redis.call('LLEN', 'sparring:cel:' .. lane)}
    local alive = redis.call('ZREVRANGEBYSCORE', P .. 'workers:' .. lane, '+inf', int(now), 'LIMIT', 0, MOST_WORKERS)
    for _, id in ipairs(alive) do
      known[#known + 1] = redis.call('HGET', P .. 'worker', id)
    end
  end
  local overdue = redis.call('ZCOUNT', P .. 'leases', '-inf', int(now))
  return {redis.call('HGETALL', P .. 'counts'), BOUNDS_MS, lanes, overdue, known}
end
