#!lua name=sparring

-- The only code that changes the state of a job. Every change is one call, and takes its time from the server.
--
-- KEYS (all start with '{sparring}:', one hash slot; numbers are decimal, times are milliseconds)
--   job:ID            HASH    the record: id tenant kind lane state spec spec_hash request_id units display_name version
--                             created started ended last_event place error lost result registered progress told told_ms
--                             told_message message since idle ran recovering end_token last_op
--                               place: its turn in the queue; since, idle: since when some unit, no unit runs;
--                               ran: how long it ran before; told: fraction of its last progress event;
--                               lost: JSON, why it is quarantined; end_token: the lease that ended it
--   units:ID          HASH    of unit U: t:U token and w:U worker while leased; a:U attempts; c:U checkpoint;
--                             o:U 'TOKEN:word' how its last lease ended; m:U:NAME its last metric
--   running:ID        HASH    leased unit -> fraction done, 0 to 1
--   results:ID        HASH    committed unit -> JSON [token, digest, stats]
--   open:ID           ZSET    units that may be claimed, by number
--   ev:ID             STREAM  N-0, N from 1 without gaps: t type, ms time, p JSON payload, e serialized google.rpc.Status
--   ready:LANE        ZSET    jobs with open units, by place; LANE: any, cpu, gpu
--   leases            ZSET    'ID/U' by deadline
--   fence, places, bells, entries   INT    last token, place, bell and registry entry
--   claim:CLAIM       STRING  JSON [id, unit, token, attempt, deadline], ten minutes: a repeated claim is the same claim
--   done:OPERATION    STRING  ten minutes: a repeated delete is the same delete
--   req:TENANT:REQ    STRING  'HASH ID', 24 hours: a repeated submit is the same submit
--   idx:TENANT        ZSET    every job, in the order of acceptance
--   ended             ZSET    ended jobs, by time of the end
--   workers:LANE, idle:LANE   ZSET    workers that listen, and those without work, by time of lapse
--   worker            HASH    worker -> 'TIME JSON'
--   mounts            HASH    mounted dataset -> record
--   reg:TENANT:KIND:{order,record,owner,pins}   ZSET by age, HASH id -> record, job that wrote it, its artifacts
--   a:SHA:m, a:SHA:I  HASH, STRING   an artifact: size media created expires pins digests; its chunk I of 1 MiB
--   u:UPLOAD, u:UPLOAD:I   the same while it is uploaded: sha size media chunks digests
--   lapse, uploads    ZSET    artifacts without pins and uploads, by time of lapse
--   bytes             INT     sum of the sizes of all artifacts
--   wake:WATCHER      STREAM  of one gateway, see watch.py
-- and 'sparring:cel:LANE', a LIST: Celery's queue, where the bells go. A bell carries nothing; the state here is the truth.

local P = '{sparring}:'
local EVENTS_KEPT = 1000
local MAX_ATTEMPTS = 3
local CLAIM_KEPT_MS = 600000
local DONE_KEPT_MS = 600000
local REQUEST_KEPT_MS = 86400000
local IDLE_MS = 2000
local QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLING, CANCELLED, QUARANTINED = 1, 2, 3, 4, 5, 6, 7
local TERMINAL = {[SUCCEEDED] = true, [FAILED] = true, [CANCELLED] = true, [QUARANTINED] = true}

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Lua writes large numbers with an exponent, Redis wants digits.
local function int(number)
  return string.format('%.0f', number)
end

local function job_key(id)
  return P .. 'job:' .. id
end

local function get(id, ...)
  return unpack(redis.call('HMGET', job_key(id), ...))
end

local function state_of(id)
  return tonumber(redis.call('HGET', job_key(id), 'state'))
end

local function reply(id)
  return {'OK', redis.call('HGETALL', job_key(id))}
end

local function event(id, kind, payload, now, status)
  local number = redis.call('HINCRBY', job_key(id), 'last_event', 1)
  redis.call('XADD', P .. 'ev:' .. id, 'MAXLEN', '~', EVENTS_KEPT, int(number) .. '-0',
    't', kind, 'ms', int(now), 'p', cjson.encode(payload), 'e', status or '')
end

-- The one place where a job's state is written.
local function set_state(id, state, now, payload, status)
  redis.call('HSET', job_key(id), 'state', state)
  redis.call('HINCRBY', job_key(id), 'version', 1)
  if TERMINAL[state] then
    redis.call('HSET', job_key(id), 'ended', int(now))
    redis.call('ZADD', P .. 'ended', int(now), id)
  end
  payload = payload or {}
  payload.state = state
  event(id, 'state', payload, now, status)
end

local function unit_event(id, unit, kind, worker, attempt, now)
  event(id, 'unit', {unit = unit, kind = kind, worker = worker, attempt = attempt}, now)
end

local function units_done(id)
  return redis.call('HLEN', P .. 'results:' .. id)
end

-- fraction = (committed units + fractions of running ones) / (units + 1); the rest of the time follows from it.
local function progress_of(id, now)
  local units, since, ran, message = get(id, 'units', 'since', 'ran', 'message')
  local done, total = units_done(id), units + 1
  local sum = done
  for _, fraction in ipairs(redis.call('HVALS', P .. 'running:' .. id)) do
    sum = sum + fraction
  end
  local elapsed = (ran or 0) + (since and now - since or 0)
  local progress = {fraction = sum / total, units_done = done, units_total = total, message = message or ''}
  if progress.fraction >= 0.01 and elapsed > 0 then
    progress.remaining_seconds = elapsed * (1 - progress.fraction) / progress.fraction / 1000
  end
  return progress
end

-- Keeps the progress, and tells of it when it moved by a hundredth or a second has passed since it was last told.
local function tell_progress(id, now)
  local progress = progress_of(id, now)
  local told, told_ms, text = get(id, 'told', 'told_ms', 'told_message')
  redis.call('HSET', job_key(id), 'progress', cjson.encode(progress))
  local moved = math.abs(progress.fraction - (told or 0))
  local changed = moved > 0 or progress.message ~= (text or '')
  if moved < 0.01 and not (changed and now - (told_ms or 0) >= 1000) then
    return
  end
  redis.call('HSET', job_key(id), 'told', progress.fraction, 'told_ms', int(now), 'told_message', progress.message)
  event(id, 'progress', progress, now)
end
