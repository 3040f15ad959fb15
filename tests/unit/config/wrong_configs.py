"""Wrong configurations, each with the one sentence that explains it."""

from __future__ import annotations

DEVICES = 'it must be "auto", "mps", "cuda" or "cpu"'
LEVELS = 'it must be "debug", "info", "warning" or "error"'
FORMATS = 'it must be a list of one or more of "txt", "json" and "md"'
TASKS = 'it must be "text", "markdown", "figure", "locate:WORDS" or "prompt:WORDS"'
TEMPLATE = (
    "it must be a name with {name} or {stem} in it, without slashes or other braces, "
    "that does not begin with a dot"
)
COMMAND = "it must be a list: a program's path, absolute or beginning with ~, and its arguments"
PATH = "it must be an absolute path, or one that begins with ~"
TABLES = (
    "the tables are [model], [engine], [documents], [log], [finder], [power], [submit] and "
    "[[inbox]]"
)
COLOURS = 'it must be "none", "grey", "green", "purple", "blue", "yellow", "red" or "orange"'
REPO = (
    'it must be an owner and a name such as "deepseek-ai/DeepSeek-OCR": letters, digits, dots, '
    "dashes and underscores, beginning with a letter or digit"
)
INBOXES = "it must be one or more tables, each of which begins with the line [[inbox]]"

# The text of a configuration file, and what ocrd says about it.
WRONG_CONFIGS = [
    # A value of the right kind that is not allowed.
    ("[engine]\nbatch = 9", 'engine.batch is 9; it must be "auto" or a whole number from 1 to 8'),
    ("[engine]\nbatch = 0", 'engine.batch is 0; it must be "auto" or a whole number from 1 to 8'),
    ("[engine]\ndevice = 'gpu'", f'engine.device is "gpu"; {DEVICES}'),
    (
        "[engine]\nmax_fallbacks = 0",
        "engine.max_fallbacks is 0; it must be a whole number of at least 1",
    ),
    ("[engine]\npage_deadline = 0", "engine.page_deadline is 0; it must be a number above 0"),
    ("[engine]\npage_deadline = inf", "engine.page_deadline is inf; it must be a finite number"),
    ("[engine]\ncool_down = nan", "engine.cool_down is nan; it must be a finite number"),
    (
        "[engine]\nunload_after = -0.5",
        "engine.unload_after is -0.5; it must be a number of at least 0",
    ),
    ("[engine]\nmemory_ceiling = -1", "engine.memory_ceiling is -1; it must be a number above 0"),
    (
        "[engine]\nmps_high_watermark = 0.0",
        "engine.mps_high_watermark is 0.0; it must be a number above 0 and at most 2",
    ),
    ("[documents]\ndpi = 10", "documents.dpi is 10; it must be a whole number from 50 to 1200"),
    ("[log]\nlevel = 2026-01-31", f"log.level is 2026-01-31; {LEVELS}"),
    ("[finder]\ndone_colour = 'pink'", f'finder.done_colour is "pink"; {COLOURS}'),
    ('[finder]\ndone_tag = "a\\nb"', 'finder.done_tag is "a\\nb"; it must be a name in one line'),
    ("[finder]\ndone_tag = ' '", 'finder.done_tag is " "; it must be a name in one line'),
    ("[[inbox]]\nsettle = -1", "inbox[1].settle is -1; it must be a number from 0.1 to 3600"),
    ("[submit]\nsettle = -1", "submit.settle is -1; it must be a number from 0 to 3600"),
    ("[[inbox]]\npath = 'scans'", f'inbox[1].path is "scans"; {PATH}'),
    ("[[inbox]]\noutput = ''", f'inbox[1].output is ""; {PATH}'),
    (
        "[[inbox]]\npath = '~nobody-of-that-name/x'",
        'inbox[1].path is "~nobody-of-that-name/x"; it begins with the home folder of a user who '
        "does not exist",
    ),
    (
        '[[inbox]]\npath = "/a\\u0000"',
        'inbox[1].path is "/a\\u0000"; it must not contain a null character',
    ),
    (
        "[model]\npath = '~nobody-of-that-name/x'",
        'model.path is "~nobody-of-that-name/x"; it begins with the home folder of a user who does '
        "not exist",
    ),
    ("[model]\nfolder = 'models'", f'model.folder is "models"; {PATH}'),
    ("[model]\nrepo = 'name'", f'model.repo is "name"; {REPO}'),
    (
        "[[inbox]]\nformats = ['doc']",
        'inbox[1].formats[1] is "doc"; it must be "txt", "json" or "md"',
    ),
    ("[[inbox]]\nformats = []", f"inbox[1].formats is []; {FORMATS}"),
    (
        "[[inbox]]\nformats = ['md', 'md']",
        'inbox[1].formats is ["md", "md"]; it must not contain a format twice',
    ),
    ("[[inbox]]\nname = '../{name}'", f'inbox[1].name is "../{{name}}"; {TEMPLATE}'),
    ("[[inbox]]\nname = 'x'", f'inbox[1].name is "x"; {TEMPLATE}'),
    ("[[inbox]]\ntask = 'dance'", f'inbox[1].task is "dance"; {TASKS}'),
    ("[[inbox]]\ntask = 'locate:'", f'inbox[1].task is "locate:"; {TASKS}'),
    (
        "[[inbox]]\ntask = 'locate:<image>'",
        'inbox[1].task is "locate:<image>"; its words must not contain the marks or tags of the '
        "model",
    ),
    (
        "[[inbox]]\non_done = ['hook.sh', '-v']",
        'inbox[1].on_done is ["hook.sh", "-v"]; its first entry, the program, must be an absolute '
        "path, or one that begins with ~",
    ),
    (
        '[submit]\non_failed = ["/a", "\\u0000"]',
        'submit.on_failed is ["/a", "\\u0000"]; it must not contain a null character',
    ),
    (f"[log]\nlevel = '{'x' * 200}'", f'log.level is "{"x" * 79}...; {LEVELS}'),
    # A value of the wrong kind.
    ("[power]\nkeep_awake = 3", "power.keep_awake is 3; it must be true or false"),
    ("[log]\nkeep = 1.5", "log.keep is 1.5; it must be a whole number of at least 1"),
    ("[log]\nkeep = true", "log.keep is true; it must be a whole number of at least 1"),
    (
        "[documents]\ndpi = [200]",
        "documents.dpi is [200]; it must be a whole number from 50 to 1200",
    ),
    ("[[inbox]]\npath = 3", f"inbox[1].path is 3; {PATH}"),
    ("[[inbox]]\nname = 3", f"inbox[1].name is 3; {TEMPLATE}"),
    ("[[inbox]]\non_done = ['/a', 3]", "inbox[1].on_done[2] is 3; it must be a string, in quotes"),
    (
        "[engine]\nbatch = { pages = 2 }",
        'engine.batch is a table; it must be "auto" or a whole number from 1 to 8',
    ),
    ("engine = 3", "engine is 3; it must be a table, which begins with the line [engine]"),
    ("[[engine]]\nbatch = 2", "engine is a list of tables; write [engine] instead of [[engine]]"),
    ("inbox = 3", f"inbox is 3; {INBOXES}"),
    ("inbox = []", f"inbox is []; {INBOXES}"),
    ("inbox = ['/a']", 'inbox[1] is "/a"; it must be a table'),
    (
        "[inbox]\npath = '/a'",
        "inbox is one table; write [[inbox]] instead of [inbox], because there can be several",
    ),
    # A value that shows what was meant.
    ("[engine]\ndevice = 'mpss'", f'engine.device is "mpss"; {DEVICES} (did you mean "mps"?)'),
    ("[log]\nlevel = 'WARN'", f'log.level is "WARN"; {LEVELS} (did you mean "warning"?)'),
    (
        "[power]\nkeep_awake = 'no'",
        'power.keep_awake is "no"; it must be true or false (did you mean false?)',
    ),
    (
        "[power]\nkeep_awake = 1",
        "power.keep_awake is 1; it must be true or false (did you mean true?)",
    ),
    (
        "[engine]\nbatch = '4'",
        'engine.batch is "4"; it must be "auto" or a whole number from 1 to 8 (did you mean 4?)',
    ),
    (
        "[engine]\nbatch = '9'",
        'engine.batch is "9"; it must be "auto" or a whole number from 1 to 8',
    ),
    (
        "[submit]\nsettle = '0.5'",
        'submit.settle is "0.5"; it must be a number from 0 to 3600 (did you mean 0.5?)',
    ),
    (
        "[documents]\ndpi = 200.0",
        "documents.dpi is 200.0; it must be a whole number from 50 to 1200 (did you mean 200?)",
    ),
    (
        "[[inbox]]\nformats = 'text'",
        f'inbox[1].formats is "text"; {FORMATS} (did you mean ["txt"]?)',
    ),
    (
        "[[inbox]]\non_done = '/hook'",
        f'inbox[1].on_done is "/hook"; {COMMAND} (did you mean ["/hook"]?)',
    ),
    # An unknown name.
    ("[engine]\ndevise = 'cpu'", "engine.devise is not a setting; did you mean engine.device?"),
    (
        "[engine]\nMax-New-Tokens = 9",
        "engine.Max-New-Tokens is not a setting; did you mean engine.max_new_tokens?",
    ),
    (
        "[finder]\ndone_color = 'red'",
        "finder.done_color is not a setting; did you mean finder.done_colour?",
    ),
    ("[submit]\noutput = '/a'", "submit.output is not a setting; did you mean inbox.output?"),
    (
        "[documents]\nsettle = 3",
        "documents.settle is not a setting; did you mean submit.settle or inbox.settle?",
    ),
    (
        "[documents]\n'x y' = 3",
        'documents."x y" is not a setting; [documents] has dpi, max_megabytes and max_megapixels',
    ),
    (
        "[[inbox]]\nwho = 3",
        "inbox[1].who is not a setting; [[inbox]] has path, output, recursive, settle, task, "
        "formats, name, on_done, on_failed and hook_seconds",
    ),
    ("[surprise]", f"[surprise] is not a known table; {TABLES}"),
    ("[engines]", "[engines] is not a known table; did you mean [engine]?"),
    ("[[Inboxes]]", "[[Inboxes]] is not a known table; did you mean [[inbox]]?"),
    ("dpi = 300", "dpi is not a setting outside the tables; did you mean documents.dpi?"),
    ("engines = 3", "engines is not a setting outside the tables; did you mean [engine]?"),
    ("x = 3", f"x is not a setting outside the tables; {TABLES}"),
    # Settings that contradict each other.
    (
        "[engine]\nmps_high_watermark = 0.5\nmps_low_watermark = 0.6",
        "engine.mps_low_watermark is 0.6; it must not be above engine.mps_high_watermark (0.5), "
        "because torch refuses that",
    ),
    (
        "[finder]\ndone_tag = 'OCR failed'",
        "finder.done_tag and finder.failed_tag are equal; they must differ, because each replaces "
        "the other",
    ),
    (
        "[[inbox]]\npath = '/a'\n[[inbox]]\npath = '/a/b'",
        "inbox[2].path (/a/b) is inside inbox[1].path (/a); each file must belong to one inbox",
    ),
    (
        "[[inbox]]\npath = '/a/b'\n[[inbox]]\npath = '/c'\n[[inbox]]\npath = '/a'",
        "inbox[3].path (/a) is a folder around inbox[1].path (/a/b); each file must belong to one "
        "inbox",
    ),
    (
        "[[inbox]]\npath = '/a'\n[[inbox]]\npath = '/b/../a'",
        "inbox[2].path (/a) is the same folder as inbox[1].path (/a); each file must belong to one "
        "inbox",
    ),
]  # fmt: skip
