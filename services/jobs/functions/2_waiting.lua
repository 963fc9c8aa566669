-- Jobs that wait for jobs, and the ends of jobs, which let others go on or fail.
-- A job with an `after` is QUEUED without open units, and in waiters:D of each job D of it, until all have succeeded.

local function dependencies(id)
  return string.gmatch((get(id, 'after')) or '', '%S+')
end

-- Those of them that have not succeeded yet.
local function awaited(id)
  local left = {}
  for dependency in dependencies(id) do
    if state_of(dependency) ~= SUCCEEDED then
      left[#left + 1] = dependency
    end
  end
  return left
end

local function stop_waiting(id)
  for dependency in dependencies(id) do
    redis.call('SREM', P .. 'waiters:' .. dependency, id)
  end
end

-- Trainings whose models a job lacks, as a set.
local function teachers(id)
  local wait, found = P .. 'wait:' .. id, {}
  for i = 0, (redis.call('HGET', wait, 'models') or 0) - 1 do
    found[redis.call('HGET', wait, 'f:' .. i)] = true
  end
  return found
end

-- The models of a submit: args from `first` are their number, the spec without them (both 0 and '' where none is to be
-- made), and of each its message, the training that makes it or '', its pin. Returns those trainings as a set, and where
-- the arguments go on.
local function read_models(args, first)
  local trainings, count = {}, tonumber(args[first])
  for i = 0, count - 1 do
    trainings[args[first + 3 + 3 * i]] = true
  end
  return trainings, first + 2 + 3 * count
end

local function keep_models(id, args, first)
  local wait, count = P .. 'wait:' .. id, tonumber(args[first])
  if count > 0 then
    redis.call('HSET', wait, 'models', count, 'rest', args[first + 1])
  end
  for i = 0, count - 1 do
    local message, from, pin = unpack(args, first + 2 + 3 * i, first + 4 + 3 * i)
    redis.call('HSET', wait, 'm:' .. i, message, 'f:' .. i, from, 'p:' .. i, pin)
  end
end

-- Why nobody can wait for these jobs, of which those in `trainings` have to leave a model: {'ABSENT', job} or
-- {'BLOCKED', job, state}; nil where nothing is against it.
local function in_vain(tenant, after, trainings)
  for dependency in string.gmatch(after, '%S+') do
    local owner, state, made = get(dependency, 'tenant', 'state', 'made')
    if owner ~= tenant then
      return {'ABSENT', dependency}
    end
    state = tonumber(state)
    if TERMINAL[state] and (state ~= SUCCEEDED or (trainings[dependency] and not made)) then
      return {'BLOCKED', dependency, state}
    end
  end
end

-- A field of a serialized message: its number, the length of its content, its content.
local function varint(number)
  local bytes = ''
  while number >= 128 do
    bytes = bytes .. string.char(number % 128 + 128)
    number = math.floor(number / 128)
  end
  return bytes .. string.char(number)
end

local function field(number, content)
  return varint(number * 8 + 2) .. varint(#content) .. content
end

-- Job.resolution, Resolution.models, ResolvedModel.name and .weights_sha256 of the contract.
local RESOLUTION, MODELS, NAME, WEIGHTS = 7, 1, 1, 2

-- Puts the models into the spec that trainings have made meanwhile. What is appended to a serialized message is merged
-- into it, so this needs to read none.
local function complete(id)
  local wait = P .. 'wait:' .. id
  local rest, count = unpack(redis.call('HMGET', wait, 'rest', 'models'))
  if rest then
    local models, pins = '', {}
    for i = 0, count - 1 do
      local message, from, pin = unpack(redis.call('HMGET', wait, 'm:' .. i, 'f:' .. i, 'p:' .. i))
      if from ~= '' then
        local name, made = get(from, 'registered', 'made')
        message = message .. field(NAME, 'models/' .. name) .. field(WEIGHTS, made)
        pin = 'models/' .. name .. '=' .. made
      end
      models = models .. field(MODELS, message)
      pins[#pins + 1] = pin
    end
    redis.call('HSET', job_key(id), 'spec', rest .. field(RESOLUTION, models), 'pins', table.concat(pins, ' '))
  end
  redis.call('HDEL', job_key(id), 'after')
  redis.call('UNLINK', wait)
end

-- From now on the clock runs for a limit of the job.
local function begin_limit(id, what, now)
  local length_ms = tonumber((get(id, what .. '_ms')))
  if length_ms > 0 then
    redis.call('ZADD', P .. 'due', int(now + length_ms), id .. '/' .. what)
  end
end

-- Workers may take the job, unless it waits for others; called again when one of these has succeeded.
local function set_off(id, now)
  if #awaited(id) == 0 then
    stop_waiting(id)
    complete(id)
    begin_limit(id, 'queue', now)
    open_rest(id, now)
  end
end

-- Ends a job whatever else of it runs; those workers find their tokens stale.
local function end_one(id, state, now, payload, status)
  for _, unit in ipairs(redis.call('HKEYS', P .. 'running:' .. id)) do
    end_lease(id, unit, 'dropped', now)
  end
  close_units(id)
  stop_waiting(id)
  redis.call('HSET', job_key(id), 'progress', cjson.encode(progress_of(id, now)))
  set_state(id, state, now, payload, status)
  ring_waiting((get(id, 'tenant')), now)
end

-- Ends a job, and settles who waits for it: after a success they go on, otherwise they fail, and who waits for those.
-- A list and no recursion, so that a chain may have any length.
local function end_job(id, state, now, payload, status)
  local ends, number = {{id, state, payload, status}}, 1
  while ends[number] do
    local ended, as, said, how = unpack(ends[number], 1, 4)
    end_one(ended, as, now, said, how)
    for _, waiter in ipairs(redis.call('SMEMBERS', P .. 'waiters:' .. ended)) do
      if as == SUCCEEDED and (get(ended, 'made') or not teachers(waiter)[ended]) then
        set_off(waiter, now)
      else
        local blocked = {job = ended, state = as, root = id, root_state = state}
        redis.call('HSET', job_key(waiter), 'blocked', cjson.encode(blocked))
        -- At once, or it would be met again at the end of another job that it waits for.
        stop_waiting(waiter)
        ends[#ends + 1] = {waiter, FAILED, {blocked = blocked}}
      end
    end
    number = number + 1
  end
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
