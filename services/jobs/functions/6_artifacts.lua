-- Bytes by digest. A chunk is staged under its upload and renamed when the whole is sealed.

local CHUNK = 1048576
local UPLOAD_KEPT_MS = 3600000

local function upload_key(upload)
  return P .. 'u:' .. upload
end

local function chunks_of(size)
  return math.ceil(size / CHUNK)
end

local function artifact_info(sha)
  local size, media, created, expires = unpack(redis.call('HMGET', manifest_key(sha), 'size', 'media', 'created', 'expires'))
  return size and {size, media, created, expires}
end

-- Says that an artifact is still wanted; its life never gets shorter by that.
local function artifact_touch(_, args)
  local sha, ttl_ms = unpack(args)
  local info = artifact_info(sha)
  if info and info[4] ~= '0' then
    local expires = int(math.max(tonumber(info[4]), now_ms() + ttl_ms))
    redis.call('HSET', manifest_key(sha), 'expires', expires)
    redis.call('ZADD', P .. 'lapse', expires, sha)
    info[4] = expires
  end
  return info
end

local function upload_begin(_, args)
  local upload, sha, size, media = unpack(args)
  redis.call('HSET', upload_key(upload), 'sha', sha, 'size', size, 'media', media, 'chunks', 0, 'digests', '')
  redis.call('ZADD', P .. 'uploads', int(now_ms() + UPLOAD_KEPT_MS), upload)
  return 'OK'
end

-- Keeps chunk `index`. A chunk that came before with the same digest is kept already.
local function upload_chunk(_, args)
  local upload, index, digest, data = unpack(args)
  local chunks, digests = unpack(redis.call('HMGET', upload_key(upload), 'chunks', 'digests'))
  if not chunks then
    return 'NOT_FOUND'
  end
  index, chunks = tonumber(index), tonumber(chunks)
  if index == chunks - 1 and string.sub(digests, -#digest) == digest then
    return 'OK'
  end
  if index ~= chunks then
    return 'OFFSET'
  end
  redis.call('SET', upload_key(upload) .. ':' .. index, data)
  redis.call('HSET', upload_key(upload), 'chunks', chunks + 1, 'digests', digests .. digest)
  redis.call('ZADD', P .. 'uploads', int(now_ms() + UPLOAD_KEPT_MS), upload)
  return 'OK'
end

local function drop_upload(upload, chunks)
  for index = 0, chunks - 1 do
    redis.call('UNLINK', upload_key(upload) .. ':' .. index)
  end
  redis.call('UNLINK', upload_key(upload))
  redis.call('ZREM', P .. 'uploads', upload)
end

local function upload_drop(_, args)
  local upload = args[1]
  drop_upload(upload, tonumber(redis.call('HGET', upload_key(upload), 'chunks')) or 0)
  return 'OK'
end

local function staged_whole(upload, size)
  local bytes = 0
  for index = 0, chunks_of(size) - 1 do
    bytes = bytes + redis.call('STRLEN', upload_key(upload) .. ':' .. index)
  end
  return bytes == tonumber(size)
end

-- Makes the staged chunks the artifact. Who calls has compared the digest of the whole.
local function artifact_seal(_, args)
  local upload, sha, size, media, digests, ttl_ms = unpack(args)
  local known = artifact_info(sha)
  if known then
    drop_upload(upload, chunks_of(size))
    return artifact_touch(nil, {sha, ttl_ms})
  end
  if not staged_whole(upload, size) then
    return 'INCOMPLETE'
  end
  for index = 0, chunks_of(size) - 1 do
    local chunk = P .. 'a:' .. sha .. ':' .. index
    redis.call('RENAME', upload_key(upload) .. ':' .. index, chunk)
    redis.call('PERSIST', chunk)
  end
  local now = now_ms()
  local expires = int(now + ttl_ms)
  redis.call('HSET', manifest_key(sha), 'size', size, 'media', media, 'created', int(now), 'expires', expires,
    'pins', 0, 'digests', digests)
  redis.call('ZADD', P .. 'lapse', expires, sha)
  redis.call('INCRBY', P .. 'bytes', size)
  drop_upload(upload, 0)
  return artifact_info(sha)
end

local function drop_artifact(sha)
  local size = redis.call('HGET', manifest_key(sha), 'size')
  for index = 0, chunks_of(size) - 1 do
    redis.call('UNLINK', P .. 'a:' .. sha .. ':' .. index)
  end
  redis.call('UNLINK', manifest_key(sha))
  redis.call('ZREM', P .. 'lapse', sha)
  redis.call('DECRBY', P .. 'bytes', size)
end

local function artifact_delete(_, args)
  local sha = args[1]
  local pins = redis.call('HGET', manifest_key(sha), 'pins')
  if not pins then
    return 'NOT_FOUND'
  end
  if pins ~= '0' then
    return 'PINNED'
  end
  drop_artifact(sha)
  return 'OK'
end

local function artifact_pin(_, args)
  return pin(args[1]) and 'OK' or 'NOT_FOUND'
end

local function artifact_unpin(_, args)
  return unpin(args[1], args[2], now_ms()) and 'OK' or 'NOT_FOUND'
end
