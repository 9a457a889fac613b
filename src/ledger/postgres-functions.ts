/**
 * The ledger's rules inside PostgreSQL: one function call a batch. The order of locks is the same
 * everywhere, so that gateways wait for each other and never in a circle: reservations by run id or
 * request key, then accounts by their key, then the one row that is the head of record and chain.
 *
 * These are the rules of `core.ts` in another language; one conformance suite and the naive model
 * hold both to them. `n` is an item's place in the batch.
 */

/** Items: `{n, requestKey, runId, bodyHash, encodedLines, expiresAtMs, lines}`; request keys distinct. */
const RESERVE = `
CREATE FUNCTION ledger_reserve(items jsonb) RETURNS TABLE (n int, kind text, run_id text, line int, units_left bigint)
LANGUAGE plpgsql AS $body$
#variable_conflict use_column
DECLARE
  fresh int[];
  tight boolean;
  item record;
  full_line record;
BEGIN
  WITH inserted AS (
    INSERT INTO ledger_reservation AS r (request_key, run_id, body_hash, state, lines, expires_at_ms)
    SELECT i."requestKey", i."runId", i."bodyHash", 'pending', i."encodedLines", i."expiresAtMs"
    FROM jsonb_to_recordset(items) AS i(n int, "requestKey" text, "runId" text, "bodyHash" text, "encodedLines" text, "expiresAtMs" bigint)
    ORDER BY i."requestKey"
    ON CONFLICT (request_key) DO NOTHING RETURNING r.request_key)
  SELECT coalesce(array_agg((i ->> 'n')::int), '{}') INTO fresh
  FROM jsonb_array_elements(items) AS i JOIN inserted ON inserted.request_key = i ->> 'requestKey';

  INSERT INTO ledger_account (subject, dimension, window_key, posted, reserved)
  SELECT DISTINCT l.subject, l.dimension, l.window_key, 0, 0
  FROM ledger_lines(items, fresh) AS l
  WHERE NOT EXISTS (SELECT FROM ledger_account AS a WHERE (a.subject, a.dimension, a.window_key) = (l.subject, l.dimension, l.window_key))
  ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING;

  PERFORM FROM ledger_account AS a
  WHERE (a.subject, a.dimension, a.window_key) IN (SELECT l.subject, l.dimension, l.window_key FROM ledger_lines(items, fresh) AS l)
  ORDER BY a.subject, a.dimension, a.window_key FOR UPDATE;

  SELECT coalesce(bool_or(s.units > 0 AND s.taken > s.units_limit - s.used), false) INTO tight FROM (
    SELECT l.units, l.units_limit, a.posted + a.reserved AS used,
      sum(l.units) OVER (PARTITION BY l.subject, l.dimension, l.window_key ORDER BY l.n) AS taken
    FROM ledger_lines(items, fresh) AS l JOIN ledger_account AS a USING (subject, dimension, window_key)) AS s;

  IF NOT tight THEN
    UPDATE ledger_account AS a SET reserved = a.reserved + s.units
    FROM (SELECT l.subject, l.dimension, l.window_key, sum(l.units) AS units FROM ledger_lines(items, fresh) AS l GROUP BY 1, 2, 3) AS s
    WHERE (a.subject, a.dimension, a.window_key) = (s.subject, s.dimension, s.window_key);
  ELSE
    FOR item IN SELECT (i ->> 'n')::int AS n, i ->> 'requestKey' AS request_key, i AS body
      FROM jsonb_array_elements(items) AS i WHERE (i ->> 'n')::int = ANY (fresh) ORDER BY 1
    LOOP
      SELECT l.line, greatest(l.units_limit - a.posted - a.reserved, 0) AS units_left INTO full_line
      FROM ledger_lines(jsonb_build_array(item.body), fresh) AS l JOIN ledger_account AS a USING (subject, dimension, window_key)
      WHERE l.units > greatest(l.units_limit - a.posted - a.reserved, 0) ORDER BY l.line LIMIT 1;
      IF FOUND THEN
        DELETE FROM ledger_reservation WHERE request_key = item.request_key;
        fresh := array_remove(fresh, item.n);
        RETURN QUERY SELECT item.n, 'exceeded', NULL::text, full_line.line, full_line.units_left;
      ELSE
        UPDATE ledger_account AS a SET reserved = a.reserved + l.units
        FROM ledger_lines(jsonb_build_array(item.body), fresh) AS l
        WHERE (a.subject, a.dimension, a.window_key) = (l.subject, l.dimension, l.window_key);
      END IF;
    END LOOP;
  END IF;

  RETURN QUERY
  SELECT i.n, CASE WHEN i.n = ANY (fresh) THEN 'reserved' WHEN r.body_hash = i."bodyHash" THEN 'repeated' ELSE 'conflict' END,
    r.run_id, NULL::int, NULL::bigint
  FROM jsonb_to_recordset(items) AS i(n int, "requestKey" text, "bodyHash" text)
  JOIN ledger_reservation AS r ON r.request_key = i."requestKey";
END $body$`;

/** The lines of those items whose place is in `wanted`, each with its place in its item. */
const LINES = `
CREATE FUNCTION ledger_lines(items jsonb, wanted int[])
RETURNS TABLE (n int, line int, subject text, dimension text, window_key text, quota_window text, units_limit bigint, units bigint)
LANGUAGE sql IMMUTABLE AS $body$
  SELECT (i ->> 'n')::int, l.place::int - 1, l.body ->> 'subject', l.body ->> 'dimension', l.body ->> 'windowKey',
    l.body ->> 'window', (l.body ->> 'limit')::bigint, (l.body ->> 'units')::bigint
  FROM jsonb_array_elements(items) AS i
  CROSS JOIN LATERAL jsonb_array_elements(i -> 'lines') WITH ORDINALITY AS l(body, place)
  WHERE (i ->> 'n')::int = ANY (wanted)
$body$`;

/**
 * Items: `{n, runId?, outcome, units, record}`; without `runId` a record of its own, which may correct
 * another (`supersedes`). Run ids distinct.
 * First the reservations decide what is written; then accounts change, each item's quota left is what
 * it leaves behind in the order of the batch; then the head is taken and numbers are given.
 */
const SETTLE = `
CREATE FUNCTION ledger_settle(items jsonb) RETURNS TABLE (n int, kind text, outcome text, seq bigint, record_hash text, size bigint, hash text)
LANGUAGE plpgsql AS $body$
#variable_conflict use_column
DECLARE
  held jsonb;
  late jsonb;
  writing int[];
  item record;
  head record;
  next_seq bigint;
  content_hash text;
  corrected bigint;
  left_of jsonb;
  content text;
  entry_text text;
  taken bigint[] := '{}'; seqs bigint[] := '{}'; documents text[] := '{}'; places int[] := '{}';
  positions bigint[] := '{}'; hashes text[] := '{}'; entries text[] := '{}';
BEGIN
  PERFORM FROM ledger_reservation AS r WHERE r.run_id IN (SELECT i ->> 'runId' FROM jsonb_array_elements(items) AS i)
  ORDER BY r.run_id FOR UPDATE;
  IF EXISTS (SELECT FROM jsonb_array_elements(items) AS i WHERE i ->> 'runId' IS NOT NULL
    AND NOT EXISTS (SELECT FROM ledger_reservation AS r WHERE r.run_id = i ->> 'runId')) THEN
    RAISE EXCEPTION 'invariant violated: only a reserved run is settled';
  END IF;
  -- What may write: the pending, and posts after an expiry. Their lines come from the reservation.
  SELECT coalesce(jsonb_agg(i || jsonb_build_object('lines', r.lines::jsonb, 'state', r.state, 'before', r.seq)), '[]') INTO held
  FROM jsonb_array_elements(items) AS i JOIN ledger_reservation AS r ON r.run_id = i ->> 'runId'
  WHERE r.state = 'pending' OR (r.state = 'expired' AND i ->> 'outcome' = 'posted');
  SELECT coalesce(array_agg((i ->> 'n')::int), '{}') INTO writing FROM jsonb_array_elements(held) AS i;
  -- A post is at most what was reserved, of dimensions that were reserved.
  IF EXISTS (SELECT FROM jsonb_array_elements(held) AS i CROSS JOIN LATERAL jsonb_each_text(i -> 'units') AS u(dimension, units)
    WHERE u.units::bigint <> 0 AND (i ->> 'outcome' <> 'posted' OR u.units::bigint < 0 OR NOT EXISTS (
      SELECT FROM jsonb_array_elements(i -> 'lines') AS l WHERE l ->> 'dimension' = u.dimension)
      OR EXISTS (SELECT FROM jsonb_array_elements(i -> 'lines') AS l WHERE l ->> 'dimension' = u.dimension AND (l ->> 'units')::bigint < u.units::bigint))) THEN
    RAISE EXCEPTION 'invariant violated: a post is at most what was reserved';
  END IF;

  PERFORM FROM ledger_account AS a
  WHERE (a.subject, a.dimension, a.window_key) IN (SELECT l.subject, l.dimension, l.window_key FROM ledger_lines(held, writing) AS l)
  ORDER BY a.subject, a.dimension, a.window_key FOR UPDATE;

  -- Late posts, one by one: each takes its units anew, or stays expired.
  FOR item IN SELECT (i ->> 'n')::int AS n, i AS body FROM jsonb_array_elements(held) AS i WHERE i ->> 'state' = 'expired' ORDER BY 1
  LOOP
    late := jsonb_build_array(item.body);
    IF EXISTS (SELECT FROM ledger_lines(late, writing) AS l JOIN ledger_account AS a USING (subject, dimension, window_key)
      WHERE coalesce((item.body -> 'units' ->> l.dimension)::bigint, 0) > greatest(l.units_limit - a.posted - a.reserved, 0)) THEN
      writing := array_remove(writing, item.n);
    ELSE
      -- Held again for a moment: from here on it is a post like the others.
      UPDATE ledger_account AS a SET reserved = a.reserved + l.units FROM ledger_lines(late, writing) AS l
      WHERE (a.subject, a.dimension, a.window_key) = (l.subject, l.dimension, l.window_key);
    END IF;
  END LOOP;

  -- What each item leaves behind, before any of them is applied.
  SELECT coalesce(jsonb_object_agg(t.n, t.quota), '{}') INTO left_of FROM (
    SELECT s.n, '{' || string_agg(to_json(s.name)::text || ':"' || s.units_left || '"', ',' ORDER BY s.name COLLATE "C") || '}' AS quota FROM (
      SELECT c.n, c.dimension || '/' || c.quota_window AS name, min(greatest(c.units_limit - c.used - c.moved, 0)) AS units_left FROM (
        SELECT l.n, l.dimension, l.quota_window, l.units_limit, a.posted + a.reserved AS used,
          sum(coalesce((i.body -> 'units' ->> l.dimension)::bigint, 0) - l.units)
            OVER (PARTITION BY l.subject, l.dimension, l.window_key ORDER BY l.n) AS moved
        FROM ledger_lines(held, writing) AS l
        JOIN ledger_account AS a USING (subject, dimension, window_key)
        JOIN (SELECT (e ->> 'n')::int AS n, e AS body FROM jsonb_array_elements(held) AS e) AS i ON i.n = l.n) AS c
      GROUP BY 1, 2) AS s GROUP BY s.n) AS t;

  UPDATE ledger_account AS a SET posted = a.posted + s.posted, reserved = a.reserved - s.reserved FROM (
    SELECT l.subject, l.dimension, l.window_key, sum(l.units) AS reserved,
      sum(coalesce((i.body -> 'units' ->> l.dimension)::bigint, 0)) AS posted
    FROM ledger_lines(held, writing) AS l
    JOIN (SELECT (e ->> 'n')::int AS n, e AS body FROM jsonb_array_elements(held) AS e) AS i ON i.n = l.n
    GROUP BY 1, 2, 3) AS s
  WHERE (a.subject, a.dimension, a.window_key) = (s.subject, s.dimension, s.window_key);

  SELECT h.size, h.hash INTO head FROM audit_head AS h FOR UPDATE;
  SELECT coalesce(max(r.seq), 0) INTO next_seq FROM ledger_record AS r;
  FOR item IN
    SELECT (i ->> 'n')::int AS n, i -> 'record' AS record, h.body ->> 'before' AS before, i ->> 'runId' AS run_id, known.seq AS known_seq, known.document AS known_document
    FROM jsonb_array_elements(items) AS i
    LEFT JOIN (SELECT (e ->> 'n')::int AS n, e AS body FROM jsonb_array_elements(held) AS e) AS h ON h.n = (i ->> 'n')::int
    LEFT JOIN ledger_record AS known ON i ->> 'runId' IS NULL AND known.id = i -> 'record' ->> 'id'
    WHERE i ->> 'runId' IS NULL OR (i ->> 'n')::int = ANY (writing) ORDER BY 1
  LOOP
    IF item.known_seq IS NOT NULL THEN
      -- A record of its own that is there already: a repeat after an unknown outcome.
      RETURN QUERY SELECT item.n, 'settled', NULL::text, item.known_seq, encode(sha256(convert_to(item.known_document, 'UTF8')), 'hex'), head.size, head.hash;
      CONTINUE;
    END IF;
    corrected := (item.record ->> 'supersedes')::bigint;
    IF corrected IS NOT NULL AND (corrected = ANY (taken) OR EXISTS (SELECT FROM ledger_record AS r WHERE r.supersedes = corrected)) THEN
      RETURN QUERY SELECT item.n, 'already', 'posted', corrected, NULL::text, NULL::bigint, NULL::text;
      CONTINUE;
    END IF;
    taken := taken || corrected;
    next_seq := next_seq + 1;
    content := (item.record ->> 'head') || '"quotaLeft":' || coalesce(left_of ->> item.n::text, '{}') || (item.record ->> 'middle')
      || '"seq":"' || next_seq || '"' || coalesce(',"supersedes":"' || coalesce(item.before, corrected::text) || '"', '') || (item.record ->> 'tail');
    content_hash := encode(sha256(convert_to(content, 'UTF8')), 'hex');
    entry_text := left(item.record ->> 'entry', -1) || ',"record":{"hash":"' || content_hash || '","seq":"' || next_seq || '"}}';
    head.hash := encode(sha256(decode(head.hash, 'hex') || int8send(head.size) || sha256(convert_to(entry_text, 'UTF8'))), 'hex');
    positions := positions || head.size; hashes := hashes || head.hash; entries := entries || entry_text;
    seqs := seqs || next_seq; documents := documents || content; places := places || item.n;
    head.size := head.size + 1;
    RETURN QUERY SELECT item.n, 'settled', NULL::text, next_seq, content_hash, head.size, head.hash;
  END LOOP;

  INSERT INTO ledger_record (seq, id, at_ms, analyst, contract_id, run_id, outcome, supersedes, bytes, compute_milli_units,
    micro_rho, padded_items, row_units, runs, charge_micros, currency, document)
  SELECT w.seq, c.id, c.at_ms, c.analyst, c.contract_id, c.run_id, c.outcome, (w.document::jsonb ->> 'supersedes')::bigint,
    c.bytes, c.compute_milli_units, c.micro_rho, c.padded_items, c.row_units, c.runs, c.charge_micros, c.currency, w.document
  FROM unnest(seqs, documents, places) AS w(seq, document, n)
  JOIN jsonb_array_elements(items) AS i ON (i ->> 'n')::int = w.n
  CROSS JOIN LATERAL jsonb_to_record(i -> 'record') AS c(id text, at_ms bigint, analyst text, contract_id text, run_id text,
    outcome text, bytes bigint, compute_milli_units bigint, micro_rho bigint, padded_items bigint, row_units bigint, runs bigint,
    charge_micros bigint, currency text);
  INSERT INTO audit_entry (position, hash, entry) SELECT * FROM unnest(positions, hashes, entries);
  UPDATE audit_head SET size = head.size, hash = head.hash WHERE size < head.size;

  -- What was settled before answers what it was; read before the states below change.
  RETURN QUERY SELECT (i ->> 'n')::int, 'already', r.state, r.seq, NULL::text, NULL::bigint, NULL::text
  FROM jsonb_array_elements(items) AS i JOIN ledger_reservation AS r ON r.run_id = i ->> 'runId'
  WHERE NOT (i ->> 'n')::int = ANY (writing);
  UPDATE ledger_reservation AS r SET state = i ->> 'outcome', seq = w.seq
  FROM unnest(seqs, places) AS w(seq, n) JOIN jsonb_array_elements(items) AS i ON (i ->> 'n')::int = w.n
  WHERE r.run_id = i ->> 'runId';
END $body$`;

/** What a settlement wrote besides, until the second migration. */
const WITH_OUTBOX = `  INSERT INTO ledger_outbox (seq, created_at_ms)
  SELECT w.seq, (i -> 'record' ->> 'at_ms')::bigint FROM unnest(seqs, places) AS w(seq, n)
  JOIN jsonb_array_elements(items) AS i ON (i ->> 'n')::int = w.n;
  INSERT INTO audit_entry`;

/** Everything the ledger's first migration adds on PostgreSQL, in order. */
export const LEDGER_FUNCTIONS = `${LINES};${RESERVE};${SETTLE.replace('  INSERT INTO audit_entry', WITH_OUTBOX)};`;
/** What the second puts in its place. */
export const SETTLE_WITHOUT_OUTBOX = SETTLE.replace(
  'CREATE FUNCTION',
  'CREATE OR REPLACE FUNCTION',
);
