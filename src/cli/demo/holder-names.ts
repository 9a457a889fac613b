/** How the demo's three authorities are called. */
import type { FLIGHT_HOLDERS } from './flights-data.ts';

export const DEMO_HOLDER_NAMES: Readonly<
  Record<(typeof FLIGHT_HOLDERS)[number], { readonly zh: string; readonly en: string }>
> = {
  west: { zh: '西部机场管理局', en: 'Western airports authority' },
  centre: { zh: '中部机场管理局', en: 'Central airports authority' },
  east: { zh: '东部机场管理局', en: 'Eastern airports authority' },
};
