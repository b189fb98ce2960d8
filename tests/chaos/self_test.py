"""Shows that the laboratory sees what it looks for: rounds whose rows are tampered with before the check, and an
asynchronous cluster whose primary loses power just cut off, which must be reported as lost rows."""
from faults import PRIMARY, Step

# What is done to the rows, and what must then be said.
TAMPERED = {
    "an acknowledged row is deleted": ("delete from {table} where id in (select id from {table} limit 1)",
                                       "acknowledged rows are lost"),
    "a row is written once more": ("insert into {table} select id from {table} limit 1", "written twice"),
    "a row appears that nobody sent": ("insert into {table} values (-1)", "refused"),
}


def self_test(chaos):
    blind = []

    def expect(what, result, text):
        seen = any(text in problem for problem in result.problems)
        print(f"  {'seen' if seen else 'NOT SEEN'}: {what}", flush=True)
        if not seen:
            blind.append(what)

    try:
        from rounds import run_round
        for number, (what, (sql, text)) in enumerate(TAMPERED.items(), 1):
            def tamper(primary, table, sql=sql):
                primary.sql(sql.format(table=table))
            expect(what, run_round(chaos.ready(), number, [Step("etcd leader killed", 0.0, 0.3, PRIMARY, 0)], chaos.say,
                                   tamper), text)
        chaos.discard()
        chaos.options.mode = "off"
        steps = [Step("host cut off", 0.0, 0.8, PRIMARY, 0),
                 Step("power loss", 0.5, chaos.options.ttl + 1.0, PRIMARY, 1)]
        result = run_round(chaos.ready(), 4, steps, chaos.say)
        expect("rows are lost without synchronous_mode", result, "acknowledged rows are lost")
    finally:
        chaos.discard()
    print("FAILED: the laboratory is blind" if blind else "every check can fail")
    return 1 if blind else 0
