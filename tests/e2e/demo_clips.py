#!/usr/bin/env python3
"""The demo's pack through daemon, broker and sink: every clip of the dataset, replayed by itself, fires
what its manifest lists at the same frames and nothing else; the .mcap brings pack and databases, for the
.rlc they are given, and wrong ones are refused by hash."""
import glob
import json

from harness import DBCS, RAV4, ROADLOOP, ROOT, Stack, check, run, until


def events(lines, kind):
    found = []
    for line in lines.splitlines():
        event = json.loads(line)
        if event['event'] == kind:
            found.append((event['rule'], event['t'], event.get('step')))
    return sorted(found)


def main():
    pack = f'{ROOT}/config/packs/rav4.yaml'
    dbcs = [word for dbc in DBCS for word in ('--dbc', dbc)]
    with Stack(pack) as stack:
        expected = stack.expected()
        whole = events(run(ROADLOOP, 'replay', stack.log, '--rules', pack, *dbcs, '--json').stdout.decode(), 'fire')
        stack.start_sink()
        stack.finish_daemon(stack.start_daemon())
        until(lambda: len(stack.stored()) >= len(expected), 30, 'every clip in the dataset')
        stack.stop_sink()
        stack.check_dataset(expected)
        stack.check_books()
        fired = 0
        for clip, (base, record) in stack.records().items():
            check({d['bus'] for d in record['databases']} == {'can0', 'can1'}, f'{clip}: databases {record["databases"]}')
            listed = sorted(e['rule'] for e in record['events'])
            by_mcap = events(run(ROADLOOP, 'replay', base + '.mcap', '--json').stdout.decode(), 'fire')
            by_rlc = events(run(ROADLOOP, 'replay', base + '.rlc', '--rules', pack, *dbcs, '--json').stdout.decode(), 'fire')
            check(by_mcap == by_rlc, f'{clip}: .mcap fires {by_mcap}, .rlc {by_rlc}')
            check(sorted(rule for rule, _, _ in by_mcap) == listed, f'{clip}: fires {by_mcap}, lists {listed}')
            check(all((rule, t, step) in whole for rule, t, step in by_mcap), f'{clip}: {by_mcap} is not what the drive fires')
            fired += len(by_mcap)
            wrong = run(ROADLOOP, 'replay', base + '.rlc', '--rules', pack, '--dbc', f'can0={RAV4}/toyota_adas.dbc', ok=(2,))
            check(wrong.stderr, f'{clip}: a wrong database is refused without a word')
        left = [p for p in glob.glob(stack.path('state/clips/*'))]
        print(f'{len(expected)} clips, {fired} events fire again from .mcap and .rlc; {len(left)} files left in the car')


main()
