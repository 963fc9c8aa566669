-- What the programs call that keep bytes outside, see 5_shelves.

-- Which store of bytes this deployment has. Changes it from `before` to `id`; answers with what holds then, '' for none.
function shelf.use(_, args)
  local id, before = unpack(args)
  local held = redis.call('GET', P .. 'outside') or ''
  if held == before then
    redis.call('SET', P .. 'outside', id)
    held = id
  end
  return held
end

-- Declares the shelf of a put that says neither size nor digest beforehand.
function shelf.begin(_, args)
  local tenant, upload, store = unpack(args)
  redis.call('HSET', upload_key(tenant, upload), 'store', store)
  keep_upload(tenant, upload)
  return 'OK'
end

-- Counts a part whose bytes are on the shelf: chunks from `first` on, `more` are their digests. One that came before with
-- the same digests is counted already.
function shelf.part(_, args)
  local tenant, upload, first, more = unpack(args)
  local chunks, digests, parts = unpack(redis.call('HMGET', upload_key(tenant, upload), 'chunks', 'digests', 'parts'))
  if not chunks then
    return 'NOT_FOUND'
  end
  local count = #more / 32
  first, chunks = tonumber(first), tonumber(chunks)
  if first + count == chunks and string.sub(digests, -#more) == more then
    return 'OK'
  end
  if first ~= chunks then
    return 'OFFSET'
  end
  redis.call('HSET', upload_key(tenant, upload), 'chunks', int(chunks + count), 'digests', digests .. more,
    'parts', parts .. (parts == '' and '' or ',') .. int(count))
  keep_upload(tenant, upload)
  return 'OK'
end

-- Bytes of an artifact were found missing or damaged, on the shelf `text` or, where that is '', here: who has them may bring
-- them again. Until then whoever reads is told the same.
function shelf.lost(_, args)
  local tenant, sha, text = unpack(args)
  local size, where = unpack(redis.call('HMGET', manifest_key(tenant, sha), 'size', 'shelf'))
  if size and (where or '') == text then
    redis.call('HSET', manifest_key(tenant, sha), 'lost', 1)
  end
  return 'OK'
end

-- What a shelf is good for: an upload is OPEN, an artifact LIVE on it with these digests and parts, or it is GONE for ever.
-- Whoever asks in this one step can't miss it on its way from one to the other.
function shelf.state(_, args)
  local tenant, id = unpack(args)
  if redis.call('EXISTS', upload_key(tenant, id)) == 1 then
    return {'OPEN'}
  end
  local sha = redis.call('HGET', P .. 'shelves:' .. tenant, id)
  if not sha then
    return {'GONE'}
  end
  local digests, text = unpack(redis.call('HMGET', manifest_key(tenant, sha), 'digests', 'shelf'))
  return {'LIVE', digests, text}
end

-- Nothing is on a discarded shelf any more that is not needed by who needs it in this state. Where the state has changed
-- since it was read, more is to go.
function shelf.swept(_, args)
  local store, tenant, id, seen = unpack(args)
  if shelf.state(nil, {tenant, id})[1] ~= seen then
    return 0
  end
  return redis.call('ZREM', P .. 'discarded:' .. store, tenant .. '/' .. id)
end

-- Gives an artifact the copy of its bytes that an upload holds, outside (`parts`) or here, if they still are where they
-- were copied from: on the shelf `before`, '' for here.
function shelf.move(_, args)
  local tenant, upload, sha, before, parts = unpack(args)
  local size, digests, text = unpack(redis.call('HMGET', manifest_key(tenant, sha), 'size', 'digests', 'shelf'))
  local copy = new_shelf(tenant, upload, parts)
  local whole = size and (copy and shelf.whole(copy, digests, chunks_of(size)) or staged_whole(tenant, upload, size))
  if not whole or (text or '') ~= before or not (copy or text) then
    drop_upload(tenant, upload, size and chunks_of(size) or 0)
    return 'CHANGED'
  end
  if text then
    shelf.take(tenant, text)
    redis.call('HDEL', manifest_key(tenant, sha), 'shelf')
  else
    drop_chunks(tenant, sha, size)
  end
  keep_staged(tenant, upload, sha, size, copy)
  return 'OK'
end
