/** What two of the demo's data officers register for matching: a week of flights, for that alone. */
import { DatasetRegistrationSchema, type DatasetRegistration } from '../../catalog/dataset.ts';
import { DISTANCE_BAND } from './flights-registration.ts';

/** The holder that saw its flights leave, and the one that saw them come. */
export const WEEK_TABLES = {
  west: 'week_departures',
  east: 'week_arrivals',
} as const;
export type WeekHolder = keyof typeof WEEK_TABLES;

const TITLES: Record<WeekHolder, { zh: string; en: string }> = {
  west: { zh: '2001 年第一周离港航班', en: 'Departures in the first week of 2001' },
  east: {
    zh: '2001 年第一周到港航班（记录有缺漏）',
    en: 'Arrivals in the first week of 2001 (some unrecorded)',
  },
};

/** Minutes; only who saw a flight leave sums its delay. */
const DELAY = {
  name: 'delay',
  title: { zh: '延误（分钟）', en: 'Delay (minutes)' },
  type: 'integer',
  usage: ['sum'],
  bounds: { minimum: '-1440', maximum: '2880', scale: 0 },
};

/** Who saw flights come groups them by distance, and no finer. */
const DISTANCE = [
  {
    name: 'distance',
    title: { zh: '航程（英里）', en: 'Distance (miles)' },
    type: 'integer',
    usage: [],
  },
  { ...DISTANCE_BAND, usage: ['group'] },
];
const OWN_COLUMNS: Record<WeekHolder, readonly object[]> = { west: [DELAY], east: DISTANCE };

/** The registration of one holder's week; it lies next to `<table>.parquet`. */
export function weekRegistration(holder: WeekHolder): DatasetRegistration {
  const table = WEEK_TABLES[holder];
  return DatasetRegistrationSchema.parse({
    format: 'weir-dataset/1',
    name: table,
    title: TITLES[holder],
    grade: 'general',
    personalInformation: 'none',
    legalBasis: 'Published flight statistics of the first half of 2001; no personal information.',
    source: { kind: 'duckdb', format: 'parquet', files: [`${table}.parquet`] },
    partitions: holder === 'east' ? [[DISTANCE_BAND.name]] : [],
    columns: [
      ...OWN_COLUMNS[holder],
      {
        name: 'date',
        title: { zh: '起飞时间', en: 'Departure time' },
        type: 'timestamp',
        usage: ['join'],
      },
      { name: 'origin', title: { zh: '始发机场', en: 'Origin' }, type: 'text', usage: ['join'] },
      {
        name: 'destination',
        title: { zh: '目的机场', en: 'Destination' },
        type: 'text',
        usage: ['join'],
      },
    ],
  });
}
