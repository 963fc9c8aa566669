#!lua name=sparring

-- The only code that changes the state of a job. Every change is one call, and takes its time from the server.
--
-- KEYS (all start with '{sparring}:', one hash slot; numbers are decimal, times are milliseconds)
--   job:ID            HASH    the record: id tenant kind lane state spec spec_hash request_id units display_name version
--                             created started ended last_event place error lost overdue result registered progress told
--                             told_ms told_message message since idle ran recovering end_token last_op deadline_ms
--                             queue_ms mega_ops after makes made content pins blocked trace opened need
--                               place: its turn in the queue; since, idle: since when some unit, no unit runs;
--                               ran: how long it ran before; told: fraction of its last progress event;
--                               lost, overdue: JSON, why it is quarantined or which of its limits it went beyond;
--                               end_token: the lease that ended it; mega_ops: what it costs, in millions of operations;
--                               after: jobs that it waits for, until all of them have succeeded; makes: the model id that
--                               a training asks for; made: digest of the weights that it made; content: what it computes,
--                               as a digest; pins: its models, 'NAME=DIGEST'; blocked: JSON, which of `after` did not succeed;
--                               trace: where in a trace it was asked for, if in one; opened: of one with a trace, since when
--                               all the units are ready that do not say it themselves; need: 'CLASS/GIB' of one that asks for
--                               a class of device or for memory, see 2_devices.lua
--   wait:ID           HASH    of a job that waits for trainings: rest: the spec without its models; models: their number;
--                             of model I: m:I message, f:I training that makes it or '', p:I its pin
--   waiters:ID        SET     QUEUED jobs in whose `after` it is
--   units:ID          HASH    of unit U: t:U token, w:U worker and l:U length of the lease while leased; a:U attempts;
--                             g:U lane of the worker; c:U checkpoint; o:U 'TOKEN:word' how its last lease ended;
--                             m:U:NAME its last metric; of a job with a trace, r:U since when it is ready, where it alone
--                             became so, and f:U the token of its first attempt
--   running:ID        HASH    leased unit -> fraction done, 0 to 1
--   results:ID        HASH    committed unit -> JSON [token, digest, stats]
--   open:ID           ZSET    units that may be claimed, by number
--   ev:ID             STREAM  N-0, N from 1 without gaps: t type, ms time, p JSON payload, e serialized google.rpc.Status
--   ready:POOL:TENANT   ZSET  jobs with open units, by place; POOL: the lane any, cpu or gpu, or 'LANE/NEED'
--   going:POOL:TENANT   ZSET  those of them that are RUNNING, which a tenant's limit of running jobs does not keep waiting
--   tenants:POOL      SET     tenants with jobs in ready:POOL:TENANT
--   needs:LANE:CLASS  ZSET    GiB that jobs with open units need of a device of this class ('': of any), by number
--   pools, pools:TENANT   SET     pools with a need in which there are open units
--   leases            ZSET    'ID/U' by deadline
--   due               ZSET    'ID/deadline' of jobs that have not ended, 'ID/queue' of jobs never claimed, by end of the time
--   fence, places, bells, entries   INT    last token, place, bell and registry entry
--   turn              FLOAT   the greatest turn that was served, see tenant:TENANT
--   claim:CLAIM       STRING  JSON [id, unit, token, attempt, deadline], ten minutes: a repeated claim is the same claim
--   done:OPERATION    STRING  ten minutes, one for an audit entry: a repeated delete is the same delete
--   req:TENANT:REQ    STRING  'HASH ID', 24 hours: a repeated submit is the same submit
--   making:TENANT:ID  ZSET    trainings that have not ended and ask for this model id, by place
--   kept:TENANT       HASH    'CONTENT PINS' -> the job that succeeded with it last
--   idx:TENANT        ZSET    every job, in the order of acceptance
--   ended             ZSET    ended jobs, by time of the end
--   tenant:TENANT     HASH    its quota: max_queued_jobs max_running_jobs max_artifact_bytes max_giga_ops weight; its usage:
--                             queued, running jobs, mega_ops of jobs that have not ended, leased units; turn: 1/weight
--                             more with each unit that it is given; audited: number of its last audit entry
--   audit:TENANT      STREAM  N-0, N from 1: e the entry; about 10,000 are kept
--   workers:LANE, idle:LANE   ZSET    workers that listen, and those without work, by time of lapse; the same for
--                             each 'LANE/CLASS/GIB' that their devices have
--   shape, shapes:LANE   HASH, SET    worker -> 'LANE/CLASS/GIB' of its device; every 'CLASS/GIB' of a lane
--   worker            HASH    worker -> 'TIME JSON'
--   mounts            HASH    mounted dataset -> record
--   reg:TENANT:KIND:{order,record,owner,pins}   ZSET by age, HASH id -> record, job that wrote it, its artifacts
--   a:TENANT:SHA:m, a:TENANT:SHA:I   HASH, STRING   an artifact: size media created expires pins digests, lost where bytes are
--                             missing, shelf where they are outside (5_shelves): STORE/UPLOAD/COUNT,...; its chunk I of 1 MiB where they are here
--   u:TENANT:UPLOAD, u:TENANT:UPLOAD:I   the same while it is uploaded: sha size media chunks digests; store parts
--   outside           STRING  id of the store of bytes in use
--   shelves:TENANT    HASH    UPLOAD whose shelf an artifact has -> SHA
--   discarded:STORE   ZSET    'TENANT/UPLOAD' whose bytes, or those that its artifact does not need, are to go, by time
--   lapse, uploads    ZSET    'TENANT/SHA' without pins and 'TENANT/UPLOAD', by time of lapse
--   bytes:TENANT      INT     sum of the sizes of its artifacts, and of the sizes that its uploads declare
--   counts            HASH    what metrics are made of, see 7_counts.lua
--   queued:LANE       ZSET    QUEUED jobs with open units, by the time since when a worker may take them
--   wake:WATCHER      STREAM  of one gateway, see watch.py
--   previews:awake, previews:asleep   LIST    'DEADLINE TASK': previews that wait for a previewer that runs, or wake one
--   preview:ID        LIST    the answer to one preview, for seconds
--   previewers        ZSET    previewers that run, by time of lapse
--   previewing:TENANT ZSET    its previews under way, by deadline
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

-- The jobs that it waits among: those of its lane with the same need, see 2_devices.lua.
local function pool_of(id)
  local lane, need = get(id, 'lane', 'need')
  return need and lane .. '/' .. need or lane
end

local function state_of(id)
  return tonumber(redis.call('HGET', job_key(id), 'state'))
end

local function reply(id)
  return {'OK', redis.call('HGETALL', job_key(id))}
end

-- One thing more that is counted, over all tenants; names and meaning of the counts are in 7_counts.lua.
local function tally(what, number)
  if number ~= 0 then
    redis.call('HINCRBY', P .. 'counts', what, int(number or 1))
  end
end

-- The upper bounds of the histograms of times, in milliseconds.
local BOUNDS_MS = {100, 250, 500, 1000, 2500, 5000, 15000, 60000, 300000, 900000, 3600000, 14400000, 86400000}

local function observe(what, ms)
  local bound = 'inf'
  for _, most in ipairs(BOUNDS_MS) do
    if ms <= most then
      bound = int(most)
      break
    end
  end
  tally(what .. '/' .. bound)
  tally(what .. '/sum', ms)
end

local function event(id, kind, payload, now, status)
  local number = redis.call('HINCRBY', job_key(id), 'last_event', 1)
  redis.call('XADD', P .. 'ev:' .. id, 'MAXLEN', '~', EVENTS_KEPT, int(number) .. '-0',
    't', kind, 'ms', int(now), 'p', cjson.encode(payload), 'e', status or '')
  tally('events/' .. kind)
end

local function tenant_key(tenant)
  return P .. 'tenant:' .. tenant
end

-- Fields of a tenant as numbers, 0 for what it does not have.
local function tenant_numbers(tenant, ...)
  local numbers = redis.call('HMGET', tenant_key(tenant), ...)
  for i, text in ipairs(numbers) do
    numbers[i] = tonumber(text or 0)
  end
  return unpack(numbers)
end

local COUNTED = {[QUEUED] = 'queued', [RUNNING] = 'running', [CANCELLING] = 'running'}

-- What the tenant uses follows from the states of its jobs, and is counted nowhere else.
local function count(tenant, before, after, mega_ops)
  local was, is = COUNTED[before], COUNTED[after]
  if was ~= is then
    if was then
      redis.call('HINCRBY', tenant_key(tenant), was, -1)
    end
    if is then
      redis.call('HINCRBY', tenant_key(tenant), is, 1)
    end
    if mega_ops > 0 and not (was and is) then
      redis.call('HINCRBY', tenant_key(tenant), 'mega_ops', int(is and mega_ops or -mega_ops))
    end
  end
end

-- The indices that follow from the state: what runs already, what has ended, which limits still count.
local function index_state(id, state, lane, tenant, place, now)
  local going = P .. 'going:' .. pool_of(id) .. ':' .. tenant
  if state == RUNNING and redis.call('EXISTS', P .. 'open:' .. id) == 1 then
    redis.call('ZADD', going, place, id)
  else
    redis.call('ZREM', going, id)
  end
  if state ~= QUEUED then
    redis.call('ZREM', P .. 'due', id .. '/queue')
    redis.call('ZREM', P .. 'queued:' .. lane, id)
  elseif redis.call('EXISTS', P .. 'open:' .. id) == 1 then
    redis.call('ZADD', P .. 'queued:' .. lane, int(now), id)
  end
  if TERMINAL[state] then
    redis.call('ZREM', P .. 'due', id .. '/deadline')
    redis.call('HSET', job_key(id), 'ended', int(now))
    redis.call('ZADD', P .. 'ended', int(now), id)
  end
end

-- What leads to a job by what it makes, and by what it has computed.
local function index_content(id, state, tenant, place)
  local makes, content, pins = get(id, 'makes', 'content', 'pins')
  if makes and makes ~= '' then
    local making = P .. 'making:' .. tenant .. ':' .. makes
    if TERMINAL[state] then
      redis.call('ZREM', making, id)
    else
      redis.call('ZADD', making, place, id)
    end
  end
  if state == SUCCEEDED and content and content ~= '' then
    redis.call('HSET', P .. 'kept:' .. tenant, content .. ' ' .. pins, id)
  end
end

-- How many jobs are in which state, how long those waited that a worker takes, and how long those took that end.
local function tally_state(id, before, state, now)
  local kind, lane, ran = get(id, 'kind', 'lane', 'ran')
  if before then
    tally('jobs/' .. before .. '/' .. kind, -1)
  end
  tally('jobs/' .. state .. '/' .. kind)
  local since = state == RUNNING and redis.call('ZSCORE', P .. 'queued:' .. lane, id)
  if since then
    observe('wait/' .. kind, now - since)
  elseif TERMINAL[state] then
    tally('ended/' .. state .. '/' .. kind)
    if ran then
      observe('run/' .. kind, tonumber(ran))
    end
  end
end

-- The one place where a job's state is written.
local function set_state(id, state, now, payload, status)
  local before, lane, tenant, place, mega_ops = get(id, 'state', 'lane', 'tenant', 'place', 'mega_ops')
  count(tenant, tonumber(before), state, tonumber(mega_ops))
  tally_state(id, before, state, now)
  redis.call('HSET', job_key(id), 'state', state)
  redis.call('HINCRBY', job_key(id), 'version', 1)
  index_state(id, state, lane, tenant, place, now)
  index_content(id, state, tenant, place)
  payload = payload or {}
  payload.state = state
  event(id, 'state', payload, now, status)
end

local function unit_event(id, unit, kind, worker, attempt, now, cause)
  event(id, 'unit', {unit = unit, kind = kind, worker = worker, attempt = attempt, cause = cause}, now)
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
