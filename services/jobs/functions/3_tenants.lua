-- Tenants: what they may use, what they use, and what was done in their name.

-- Sums of compute stay exact up to here, so nobody is charged beyond it, limit or none.
local MOST_MEGA_OPS = 9e15
local AUDIT_KEPT = 10000
local AUDIT_DONE_MS = 60000

local function bytes_key(tenant)
  return P .. 'bytes:' .. tenant
end

-- So many bytes more, or less, of a tenant.
local function add_bytes(tenant, size)
  redis.call('INCRBY', bytes_key(tenant), int(size))
  tally('bytes', size)
end

local function bytes_of(tenant)
  return tonumber(redis.call('GET', bytes_key(tenant)) or 0)
end

-- Numbers as text, because a whole answer of Redis would be cut at 2^63 and a fraction lost.
local function quota_answer(limit, used, most)
  return {'QUOTA', limit, string.format('%.17g', used), string.format('%.17g', most)}
end

-- What refuses a tenant one more job of so much compute; nil where nothing does.
local function job_refused(tenant, mega_ops)
  local queued, used, most_queued, most_giga_ops, most_bytes =
    tenant_numbers(tenant, 'queued', 'mega_ops', 'max_queued_jobs', 'max_giga_ops', 'max_artifact_bytes')
  if most_queued > 0 and queued >= most_queued then
    return quota_answer('max_queued_jobs', queued, most_queued)
  end
  local most_mega_ops = MOST_MEGA_OPS
  if most_giga_ops > 0 then
    most_mega_ops = math.min(math.floor(1000 * most_giga_ops + 0.5), MOST_MEGA_OPS)
  end
  if used + mega_ops > most_mega_ops then
    return quota_answer('max_giga_ops', used / 1000, most_mega_ops / 1000)
  end
  if most_bytes > 0 and bytes_of(tenant) >= most_bytes then
    return quota_answer('max_artifact_bytes', bytes_of(tenant), most_bytes)
  end
end

-- What refuses a tenant so many bytes more; nil where nothing does.
local function bytes_refused(tenant, size)
  local most = tenant_numbers(tenant, 'max_artifact_bytes')
  if most > 0 and bytes_of(tenant) + size > most then
    return quota_answer('max_artifact_bytes', bytes_of(tenant), most)
  end
end

local function usage(_, args)
  local tenant = args[1]
  return {redis.call('HGETALL', tenant_key(tenant)), redis.call('GET', bytes_key(tenant)) or '0'}
end

local function audit(_, args)
  local tenant, operation, entry = unpack(args)
  local done = P .. 'done:' .. operation
  if redis.call('SET', done, '', 'PX', AUDIT_DONE_MS, 'NX') then
    local number = redis.call('HINCRBY', tenant_key(tenant), 'audited', 1)
    redis.call('XADD', P .. 'audit:' .. tenant, 'MAXLEN', '~', AUDIT_KEPT, int(number) .. '-0', 'e', entry)
  end
  return 'OK'
end
