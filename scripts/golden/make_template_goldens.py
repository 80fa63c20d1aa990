#!/usr/bin/env python3
"""Writes tests/golden/templates/*.json: template snippets with what Jinja makes of them.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install jinja2==3.1.6
    /tmp/venv/bin/python scripts/golden/make_template_goldens.py

The environment is set up as transformers does for chat templates: an immutable sandbox, trim_blocks, lstrip_blocks, loop
controls, its own tojson, raise_exception and strftime_now. Cases of the group "mutation" use the sandbox that allows
list.append and the like, as our interpreter does. A case that Jinja refuses is recorded with "error": only the fact
counts there, except for raise_exception, whose message is kept.
"""
import datetime
import json
import pathlib

import jinja2
import jinja2.ext
import jinja2.sandbox

NOW = datetime.datetime(2024, 7, 6, 9, 5, 3)
OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "templates"


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


class RaisedByTemplate(Exception):
    pass


def environment(mutable=False):
    base = jinja2.sandbox.SandboxedEnvironment if mutable else jinja2.sandbox.ImmutableSandboxedEnvironment
    env = base(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])

    def raise_exception(message):
        raise RaisedByTemplate(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda fmt: NOW.strftime(fmt)
    return env


USERS = [
    {"name": "Ann", "age": 30, "city": "Bonn", "tags": ["a", "b"]},
    {"name": "bob", "age": 25, "city": "bonn", "tags": []},
    {"name": "Cid", "age": 30, "city": "Aachen"},
]
MESSAGES = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi <there> & 'you'"},
    {"role": "assistant", "content": "Hello", "tool_calls": [
        {"type": "function", "function": {"name": "f", "arguments": {"x": 1, "y": [1.5, None, True], "z": "é\"\n"}}}]},
    {"role": "tool", "content": "42"},
]
TREE = [{"n": "a", "c": [{"n": "b", "c": [{"n": "c"}]}, {"n": "d"}]}, {"n": "e"}]
VARIABLES = {
    "users": USERS, "messages": MESSAGES, "tree": TREE,
    "text": "Hello, World", "uni": "Grüße, 世界 🌍 ß ǆ ﬁ Σας ΟΔΟΣ İ", "lines": "one\ntwo\r\nthree\n\nfive\n", "empty": "",
    "blank": " \t\n x y \u00a0\u2003", "num": 42, "neg": -7, "pi": 3.14159, "big": 1e20, "tiny": 1.5e-7, "zero": 0,
    "yes": True, "no": False, "nothing": None, "nums": [3, 1, 2], "words": ["pear", "Apple", "fig", "apple"],
    "mixed": [1, "a", None, 2.5, True, [1], {"k": "v"}], "d": {"b": 1, "a": 2, "C": 3, "items": "shadow"},
    "nested": {"a": {"b": {"c": [10, 20, {"x": "deep"}]}}}, "elist": [], "edict": {}, "quote": "it's \"q\" \\ \t \x01 \x7f",
    "html": "<b>&'\"</b>", "long": "The quick brown fox jumps over the lazy dog",
}

# Every snippet sees all of VARIABLES that it mentions.
GROUPS = {}


def group(name, *snippets, prefix="{{ ", suffix=" }}"):
    GROUPS.setdefault(name, []).extend(prefix + s + suffix for s in snippets)


def whole(name, *snippets):
    GROUPS.setdefault(name, []).extend(snippets)


# ---------------------------------------------------------------- lexer and white space
whole(
    "whitespace",
    "a\n{% if true %}\nb\n{% endif %}\nc\n", "a\n  {% if true %}  \n  b\n  {% endif %}\nc", "x {% if true %} y {% endif %} z",
    "  {% if true %}x{% endif %}", "\t {%+ if true %}x{% endif %}", "  {%- if true %} x {%- endif -%}  y",
    "a {{- ' b ' -}} c", "a\n\n{{- 1 }}\n\n{{ 2 -}}\n\n3", "{# c #}\nx", "a {# c #} b", "a {#- c -#} b", "a\n  {# c #}\nb",
    "a\n  {#+ c #}\nb", "{# c +#}\nx", "{#- c #}x{# {{ }} {% %} #}", "{% if true +%}\nx{% endif %}", "{% if true -%}\n  x{% endif %}",
    "{% raw %}{{ x }}{% y %}{% endraw %}", "a {%- raw -%}  {{ x }}  {%- endraw -%} b", "a\n  {% raw %}\n  x\n  {% endraw %}\nb",
    "{% raw %}\nx{% endraw +%}\ny", "{%+ raw %} x {%- endraw %} y", "x\n\n", "x\n", "\n", "", "x\r\ny\rz\r\n", "{{ 'a\r\nb' }}",
    "  {{ 1 }}\n  {{ 2 }}\n", "{% set x = 1 %}\n\n{{ x }}", "{% for i in [1,2] %}\n  {{ i }}\n{% endfor %}\nend",
    "a{% if true %}\n\n\nb{% endif %}", "{{ '{{' }}{{ '}}' }}{{ '{%' }}", "{{ {'a': {'b': 1}}['a']['b'] }}", "{{{}}}", "{{ {} }}",
    "{ {x} % } #}", "{{ 1 }}%}{{ 2 }}", "a{{ 1\n}}\nb", "{%- set x -%}  q  {%- endset -%}  [{{ x }}]", "{{-1}}", "{{ - 1 }}",
    "{%if true%}x{%endif%}", "{%\nif true\n%}x{% endif %}", "line1\n    {%- if true %}\n    x\n    {%- endif %}\n", "{#\n multi\n line #}z",
    "a \u00a0{%- if true %}b{% endif %}", "{% if true %}\u00a0\n{% endif %}x", "x{{+1}}", "{#-#}x", "{##}x", "a  {#-#}b", "{% set a = '%}' %}{{ a }}",
    "{{ 1 }}\n{% if true %}\n{% endif %}\n{{ 2 }}", "   {% set x = 1 %}   {% set y = 2 %}\nz", "\n\n  {%- if true -%}\n\n x \n{% endif %}",
)

# ---------------------------------------------------------------- literals and expressions
group(
    "literals",
    "1", "-1", "007 if false else 0", "0x1F", "0b101", "0o17", "1_000", "1.5", "1e3", "1.5E-3", "1e16", "1e15", "123456789.125", "0.1", "1e22",
    "1e-4", "1e-5", "100000000000000000.0", "2.0", "1_0.2_5", "'a' 'b' \"c\"", "'it\\'s'", "'\\n\\t\\\\'", "'\\x41\\u00e9\\U0001F600'", "'\\101'", "'\\q'",
    "'a\\\nb'", "true", "True", "false", "False", "none", "None", "[]", "[1, 2,]", "(1,)", "()", "(1, 2)", "1, 2", "{}", "{'a': 1, 2: 'b',}",
    "[1, [2, (3, {'k': [none, true]})]]", "{1: 'int', 1.0: 'float', true: 'bool'}", "{none: 1}", "{(1, 2): 3}", "'é'", "['é', '\\u200b', '\\x00', '\\u2028', 'a\\'b', 'a\"b', 'a\\'\"b']",
    "quote", "[quote]", "{'k': quote}", "[1.0, 1e100, -0.0, 1e-10]", "[nothing, undefined_name]", "9223372036854775807", "-9223372036854775807", "uni", "[uni]",
    "'' ~ 1 ~ 'a' ~ none ~ 1.0 ~ [1] ~ undefined_name", "1 ~ 2 + 3", "'a' ~ 'b' * 2",
)
group(
    "operators",
    "1 + 2 * 3", "(1 + 2) * 3", "7 / 2", "8 / 2", "7 // 2", "-7 // 2", "7 // -2", "7 % 3", "-7 % 3", "7 % -3", "7.5 // 2", "-7.5 // 2", "7.5 % 2", "-7.5 % 2", "5 % -3.5",
    "-0.0 // 1", "2 ** 10", "2 ** -1", "2 ** 0.5", "2 ** 3 ** 2", "-2 ** 2", "(-2) ** 2", "0 ** 0", "1.5 + 1", "true + true", "true * 3", "'ab' * 3", "3 * 'ab'", "'ab' * 0", "'ab' * -1", "[1, 2] * 2",
    "2 * (1,)", "[1] + [2]", "(1,) + (2, 3)", "'a' + 'b'", "+1", "-true", "not 1", "not ''", "not none", "1 and 2", "0 and 2", "1 or 2", "'' or 'x'", "none or false", "not 1 == 2", "1 < 2 < 3", "1 < 2 > 3", "3 > 2 > 1 > 0",
    "1 == 1.0", "1 == true", "'1' == 1", "'a' < 'b'", "'a' < 'B'", "[1, 2] < [1, 3]", "[1] < [1, 0]", "(1, 2) == [1, 2]", "[1, 2] == [1, 2]", "{'a': 1} == {'a': 1.0}", "{'a': 1, 'b': 2} == {'b': 2, 'a': 1}", "none == none", "none == false", "undefined_a == undefined_b",
    "undefined_a == none", "undefined_a != ''", "1 != 2", "2 >= 2", "2 <= 1", "'b' in 'abc'", "'' in ''", "1 in [1, 2]", "1.0 in [1, 2]", "4 not in [1]", "'a' in {'a': 1}", "'x' in d", "'x' not in d", "1 in (1,)", "2 in range(3)", "'k' in d.keys()", "1 in d.values()", "'a' in undefined_a",
    "1 in 'abc'", "none in [none]", "[1] in [[1]]", "not 'a' in 'abc'", "1 if true else 2", "1 if false else 2", "1 if false", "'x' if 1 > 2 else 'y' if 1 > 3 else 'z'", "(1 if yes else 2) + 1", "-num", "-num|abs", "-neg|abs", "2 + 3|string|length", "1 + neg ** 2", "10 - 2 - 3", "100 // 7 // 2", "2 * 3 % 4",
    "1 / 0", "1 // 0", "1 % 0", "1.0 / 0", "'a' + 1", "1 + 'a'", "[1] + (2,)", "1 + none", "none + 1", "'a' - 'b'", "1 < 'a'", "none < 1", "[1] < 2", "{} < {}", "-'a'", "undefined_a + 1", "1 + undefined_a", "undefined_a < 1", "'x' ~ undefined_a.b", "undefined_a.b", "undefined_a['b']", "undefined_a()", "none.x", "none.x.y", "1()", "'a'()", "1 in 5", "1 in none", "{[1]: 2}",
    "9223372036854775806 + 1", "(2 ** 62 - 1) * 2 + 1", "'%s' % undefined_a", "5 is number + 1",
)
group(
    "access",
    "users[0].name", "users[0]['name']", "users[-1].name", "users[5]", "users[5].x", "users[0].zzz", "users[0].zzz.y", "users[0]['tags'][1]", "nested.a.b.c[2].x", "nested['a']['b'].c.0", "nested.a.b.c.2.x", "d.items", "d['items']", "d['keys']", "d['zz']", "d.a", "d.zz",
    "text[0]", "text[-1]", "text[100]", "text[1:]", "text[:5]", "text[-5:]", "text[::2]", "text[::-1]", "text[5:2]", "text[2:5:2]", "text[-3:-1]", "text[100:]", "text[:-100]", "text[8:2:-2]", "uni[7:9]", "uni[10]", "uni[::-1]", "uni[-3:]", "uni[2:20:3]", "nums[1:]", "nums[::-1]", "nums[:-1]", "nums[0:1]", "nums[5:]", "(1, 2, 3)[1:]", "range(10)[2:8:3]|list", "range(10)[-1]",
    "range(10)[::-1]|list", "range(5)", "range(1, 10, 3)", "range(10, 0, -3)|list", "range(0)", "range(3)|list", "range(5)|length", "nums[none:2]", "nums[1:none:none]", "nums['0']", "nums['x']", "nums.0", "nums[1.0]", "nums[true]", "'abc'['x']", "{1: 'a'}[1.0]", "{1: 'a'}[true]", "d[['x']]", "(1, 2).0", "users|length", "users[0].items()|list", "d.keys()|list", "d.values()|list", "d.items()|list", "d.keys()", "d.values()", "d.items()",
    "nothing[1:]", "num[1:]", "d[1:]", "nums[1:2:0]", "nums['a':]", "undefined_a[1:]", "range(5, 0)|list", "range(3).start", "range(1, 9, 2).step", "dict(a=1, b=2)", "dict([('a', 1), ('b', 2)])", "dict({'x': 1}, y=2)", "dict(d, z=1)", "dict()", "range(200000)", "range(1, 2, 0)", "namespace(a=1).a", "namespace({'q': 5}).q", "namespace(a=1).b", "namespace()", "namespace(a=1, b='x')",
    "text.upper", "nums.append is callable", "d.get is callable", "'x'.join is callable", "text.foo", "text['upper']()", "users[0]['get']('name')", "d|attr('a')", "text|attr('upper') is callable",
)

# ---------------------------------------------------------------- statements
whole(
    "statements",
    "{% if num > 40 %}a{% elif num > 30 %}b{% else %}c{% endif %}", "{% if zero %}a{% elif no %}b{% elif yes %}c{% endif %}", "{% if empty %}a{% endif %}b", "{% if elist %}a{% else %}b{% endif %}", "{% if undefined_a %}a{% else %}b{% endif %}", "{% if 1, %}tuple{% endif %}",
    "{% for x in nums %}{{ x }},{% endfor %}", "{% for x in [] %}a{% else %}none{% endfor %}", "{% for x in nums %}a{% else %}none{% endfor %}", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in d %}{{ k }};{% endfor %}", "{% for (a, b) in [(1, 2), (3, 4)] %}{{ a + b }},{% endfor %}", "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for c in 'aé世' %}[{{ c }}]{% endfor %}", "{% for x in range(3) %}{{ x }}{% endfor %}", "{% for x in undefined_a %}x{% else %}empty{% endfor %}", "{% for x in nothing %}x{% endfor %}", "{% for x in 5 %}x{% endfor %}",
    "{% for x in nums %}{{ loop.index }}/{{ loop.length }} {{ loop.index0 }} {{ loop.revindex }} {{ loop.revindex0 }} {{ loop.first }} {{ loop.last }} {{ loop.depth }}{{ loop.depth0 }};{% endfor %}", "{% for x in nums %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {{ loop.previtem is defined }}{{ loop.nextitem is defined }};{% endfor %}", "{% for x in nums %}{{ loop.cycle('odd', 'even') }}{% endfor %}", "{% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }} {% endfor %}", "{% for x in nums if x > 1 %}{{ x }}{{ loop.index }}/{{ loop.length }}{{ loop.last }} {% endfor %}", "{% for x in nums if x > 9 %}{{ x }}{% else %}nothing{% endfor %}",
    "{% for m in messages if m.role != 'system' %}{{ loop.index }}:{{ m.role }}{{ '' if loop.last else ', ' }}{% endfor %}", "{% for x in nums|map('string') %}{{ loop.index }}{{ loop.last }}{{ loop.length }} {% endfor %}", "{% for x in nums|select('odd') %}{{ x }}{{ loop.revindex }};{% endfor %}", "{% for x in range(10) %}{% if x == 3 %}{% continue %}{% endif %}{% if x == 6 %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% for x in [1, 2] %}{% for y in [1, 2, 3] %}{% if y == 2 %}{% break %}{% endif %}{{ x }}{{ y }};{% endfor %}{% endfor %}", "{% for x in nums %}{% for y in nums %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}", "{% for x in nums %}{% set outer = loop %}{% for y in [1, 2] %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{% for x in nums %}{% break %}{% else %}e{% endfor %}z", "{% for i in tree recursive %}{{ loop.depth }}{{ i.n }}{% if i.c %}({{ loop(i.c) }}){% endif %}{% endfor %}", "{% for i in tree recursive %}{{ i.n }}{% if i.c %}[{{ loop(i.c)|upper }}]{% endif %}{% if not loop.last %},{% endif %}{% endfor %}", "{% for x in nums %}{{ loop(nums) }}{% endfor %}", "{% for x in nums %}{% continue %}{% else %}e{% endfor %}z", "{% for x in nums %}{% if loop.last %}{% break %}{% endif %}{% else %}e{% endfor %}z",
    "{% set x = 5 %}{{ x }}", "{% set x, y = 1, 2 %}{{ y }}{{ x }}", "{% set x, y = y, x %}{{ x }}", "{% set (a, b) = [1, 2] %}{{ a }}{{ b }}", "{% set a, b = [1] %}", "{% set a, b = [1, 2, 3] %}", "{% set x = 1 %}{% for i in nums %}{% set x = i %}{{ x }}{% endfor %}{{ x }}", "{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}", "{% for i in nums %}{{ seen }}{% set seen = i %}{% endfor %}", "{% set y = 0 %}{% for i in nums %}{{ y }}{% set y = i %}{% endfor %}", "{% set ns = namespace(x=0) %}{% for i in nums %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace() %}{% set ns.a = 1 %}{% set ns.b = [ns.a] %}{{ ns.a }}{{ ns.b }}{{ ns.c }}", "{% set ns = namespace(found=false) %}{% for m in messages if not ns.found %}{{ m.role }}{% if m.role == 'user' %}{% set ns.found = true %}{% endif %}{% endfor %}", "{% set ns = namespace(a=1, b=2) %}{% set ns.a, ns.b = ns.b, ns.a %}{{ ns.a }}{{ ns.b }}", "{% set d.x = 1 %}", "{% set nope.x = 1 %}", "{% set x %}a{{ num }}b{% endset %}[{{ x }}]{{ x is string }}", "{% set x | upper %}abc{% endset %}{{ x }}", "{% set x | replace('a', 'b') | upper %}aaa{% endset %}{{ x }}", "{% set ns = namespace() %}{% set ns.t %}q{% endset %}{{ ns.t }}", "{% set x %}{% set y = 1 %}{{ y }}{% endset %}{{ x }}{{ y }}", "{% set a = 1 if false %}{{ a is defined }}{{ a }}",
    "{% set true = 1 %}", "{% set loop = 1 %}{{ loop }}", "{% set x = 1, 2 %}{{ x }}", "{% set users = 3 %}{{ users }}", "{% if false %}{% set users = 3 %}{% endif %}{{ users|length }}", "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}", "{% set a = 9 %}{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}", "{% filter upper %}abc {{ text }}{% endfilter %}", "{% filter replace('a', 'o')|upper %}banana{% endfilter %}", "{% filter indent(2) %}a\nb\n{% endfilter %}", "{% filter trim %}  x  {% set q = 1 %}{% endfilter %}{{ q }}", "{% print 1, 'a' %}", "{% print(num) %}", "{% generation %}abc{% endgeneration %}\nx", "a{%- generation -%} b {%- endgeneration -%} c", "{% set q = 1 %}{% generation %}{{ q }}{% set q = 2 %}{{ q }}{% endgeneration %}{{ q }}", "{% for x in nums %}{% generation %}{{ loop.index }}{% endgeneration %}{% endfor %}",
    "{% for x in nums %}{% filter upper %}a{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfilter %}{% endfor %}", "{% for x in [1, 2, 3] %}{% if loop.last %}{{ loop.previtem }}{% endif %}{% endfor %}", "{% for user in users %}{{ user.name }}{% for t in user.tags %}({{ t }}){% else %}-{% endfor %}{% endfor %}", "{% for x in d.items() %}{{ x[0] }}{{ x }}{% endfor %}", "{% for k, v in d|dictsort %}{{ k }}{{ v }}{% endfor %}", "{% for a, b in [1, 2] %}{% endfor %}", "{% for a, b in ['xy', 'zw'] %}{{ b }}{{ a }}{% endfor %}",
    "{% for x in nums: %}{{ x }}{% endfor: %}", "{% if true: %}x{% else: %}y{% endif %}",
)
whole(
    "macros",
    "{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(b=4, a=5) }} {{ m() }}", "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 2) }}", "{% macro m() %}[{{ varargs }}{{ kwargs }}]{% endmacro %}{{ m(1, 2, x=3) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(*[1]) }}{{ m(**{'a': 2}) }}", "{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*nums[:2]) }}{{ m(1, **{'b': 2}) }}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}inner{% endcall %}", "{% macro m(x) %}<{{ caller(x, 2) }}>{% endmacro %}{% call(a, b=9) m(1) %}{{ a }}{{ b }}{% endcall %}", "{% macro m() %}{{ caller is defined }}{% if caller %}{{ caller() }}{% endif %}{% endmacro %}{{ m() }}{% call m() %}x{% endcall %}", "{% macro m(caller=none) %}{{ caller }}{% endmacro %}{{ m() }}", "{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ m() }}", "{% macro m() %}{% set q = 5 %}{{ q }}{% endmacro %}{{ m() }}{{ q }}", "{% macro m(n) %}{{ n }}{% if n > 0 %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(3) }}", "{% macro outer() %}{% macro inner(x) %}<{{ x }}>{% endmacro %}{{ inner(1) }}{% endmacro %}{{ outer() }}",
    "{% macro m(x) %}\n  {{ x }}\n{% endmacro %}\n[{{ m(1) }}]", "{% macro m(x) -%}\n  {{ x }}\n{%- endmacro %}\n[{{ m(1) }}]", "{% macro m(a, b=1) %}{% endmacro %}{{ m }} {{ m.name }} {{ m.arguments }} {{ m.catch_kwargs }} {{ m.catch_varargs }} {{ m.caller }}", "{% macro m() %}x{% endmacro %}{{ m()|upper }}{{ m() ~ 'y' }}{{ m() is string }}", "{% macro m(users) %}{{ users }}{% endmacro %}{{ m(1) }}", "{% macro m() %}{{ users|length }}{% endmacro %}{{ m() }}", "{% for i in nums %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}", "{% macro m() %}{{ loop }}{% endmacro %}{% for i in nums %}{{ m() }}{% endfor %}",
    "{% macro m(ns) %}{% set ns.x = ns.x + 1 %}{% endmacro %}{% set n = namespace(x=0) %}{{ m(n) }}{{ m(n) }}{{ n.x }}", "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}", "{{ later() }}{% macro later() %}x{% endmacro %}", "{% macro m(a, a) %}{% endmacro %}", "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m(x) %}{% if x is undefined %}U{% else %}{{ x }}{% endif %}{% endmacro %}{{ m() }}{{ m(none) }}", "{% macro m(x=[]) %}{{ x }}{% endmacro %}{{ m() }}{{ m([1]) }}", "{% macro m() %}{% for x in nums %}{{ x }}{% endfor %}{% endmacro %}{{ m() }}", "{% macro m(f) %}{{ f(1) }}{% endmacro %}{% macro g(x) %}g{{ x }}{% endmacro %}{{ m(g) }}",
    "{% macro list_it(items) %}<ul>{% for i in items %}<li>{{ i.n }}{% if i.c %}{{ list_it(i.c) }}{% endif %}</li>{% endfor %}</ul>{% endmacro %}{{ list_it(tree) }}", "{% call nope() %}{% endcall %}", "{% call 5 %}{% endcall %}", "{% macro m() %}{{ kwargs.items()|list }}{% endmacro %}{{ m(z=1, y=2) }}", "{% macro m(a) %}{{ a }}{{ varargs }}{% endmacro %}{{ m(1, 2, 3) }}", "{% macro m() %}a{% break %}{% endmacro %}",
)
whole(
    "mutation",
    "{% set l = [] %}{% set _ = l.append(1) %}{{ l.append(2) }}{{ l }}", "{% set l = [1, 2] %}{% set m = l %}{% set _ = m.append(3) %}{{ l }}", "{% set l = [1, 2, 3] %}{{ l.pop() }}{{ l.pop(0) }}{{ l }}", "{% set l = [1] %}{{ l.pop(5) }}", "{{ [].pop() }}", "{% set l = [1] %}{% set _ = l.extend([2, 3]) %}{{ l }}", "{% set l = [1, 3] %}{% set _ = l.insert(1, 2) %}{{ l }}", "{% set l = [1, 3] %}{% set _ = l.insert(-1, 2) %}{% set _ = l.insert(99, 4) %}{{ l }}", "{% set l = [1, 2, 1] %}{% set _ = l.remove(1) %}{{ l }}", "{{ [1].remove(2) }}", "{% set l = [3, 1, 2] %}{% set _ = l.sort() %}{{ l }}{% set _ = l.reverse() %}{{ l }}", "{% set l = [3, 1, 2] %}{% set _ = l.sort(reverse=true) %}{{ l }}", "{% set l = [1] %}{% set _ = l.clear() %}{{ l }}", "{% set l = [1] %}{% set m = l.copy() %}{% set _ = m.append(2) %}{{ l }}{{ m }}",
    "{% set x = {} %}{% set _ = x.update({'a': 1}) %}{% set _ = x.update(b=2) %}{{ x }}", "{% set x = {'a': 1, 'b': 2} %}{{ x.pop('a') }}{{ x }}{{ x.pop('z', 9) }}", "{{ {}.pop('a') }}", "{% set x = {'a': 1} %}{{ x.setdefault('a', 5) }}{{ x.setdefault('b', 6) }}{{ x }}", "{% set x = {'a': 1, 'b': 2} %}{{ x.popitem() }}{{ x }}", "{% set x = {'a': 1} %}{% set _ = x.clear() %}{{ x }}", "{% set x = {'a': [1]} %}{% set y = x.copy() %}{% set _ = y.a.append(2) %}{% set _ = y.update(q=1) %}{{ x }}{{ y }}", "{% set l = [1, 2, 3] %}{% for x in l %}{{ x }}{% if x == 1 %}{% set _ = l.append(4) %}{% endif %}{% endfor %}", "{% set l = [] %}{% for m in messages %}{% set _ = l.append(m.role) %}{% endfor %}{{ l|join(',') }}", "{% set ns = namespace(q=[]) %}{% for m in messages %}{% set ns.q = ns.q + [m.role] %}{% endfor %}{{ ns.q }}", "{% set x = {'k': 1} %}{% set y = x %}{% set _ = y.update(k=2) %}{{ x.k }}",
    "{% set a = [1] %}{% set b = a * 2 %}{% set _ = b.append(5) %}{{ a }}{{ b }}", "{% set e = [] %}{% set a = [e] * 2 %}{% set _ = a[0].append(1) %}{{ a }}", "{% set l = [1, 2, 3, 4] %}{% set _ = l.pop(-2) %}{{ l }}", "{% macro m(x=[]) %}{% set _ = x.append(1) %}{{ x }}{% endmacro %}{{ m() }}{{ m() }}", "{% set l = [5, 6, 7] %}{{ l.index(6) }}{{ l.count(7) }}", "{{ (1, 2, 1).count(1) }}{{ (1, 2).index(2) }}", "{{ [1].index(5) }}",
)

# ---------------------------------------------------------------- tests
group(
    "tests",
    "num is defined", "undefined_a is defined", "undefined_a is undefined", "users[0].zz is defined", "users[0].name is not defined", "nothing is none", "num is none", "nothing is not none", "yes is boolean", "num is boolean", "yes is true", "no is false", "1 is true", "yes is false", "num is integer", "yes is integer", "pi is integer", "pi is float", "num is float", "num is number", "yes is number", "pi is number", "text is number", "text is string", "num is string", "d is mapping", "nums is mapping", "namespace() is mapping", "undefined_a is mapping",
    "nums is sequence", "text is sequence", "d is sequence", "range(3) is sequence", "num is sequence", "nothing is sequence", "undefined_a is sequence", "d.items() is sequence", "nums|map('string') is sequence", "(1,) is sequence", "nums is iterable", "text is iterable", "d is iterable", "num is iterable", "nothing is iterable", "undefined_a is iterable", "d.keys() is iterable", "nums|select is iterable", "range is callable", "text is callable", "text.upper is callable", "3 is odd", "4 is even", "4 is odd", "10 is divisibleby 5", "10 is divisibleby(3)", "num is eq 42", "num is ==(42)", "num is ne 42", "num is lt 50", "num is gt(50)", "num is le 42", "num is ge 43",
    "num is lessthan 43", "num is greaterthan 43", "'a' is in 'abc'", "1 is in [1]", "5 is in nums", "5 is not in nums", "num is sameas num", "none is sameas none", "1 is sameas true", "[] is sameas []", "nums is sameas nums", "'abc' is lower", "'Abc' is lower", "'ABC' is upper", "'A1' is upper", "'1' is upper", "text is escaped", "text|safe is escaped", "'upper' is filter", "'nope' is filter", "'odd' is test", "'nope' is test", "num is defined and num > 1", "num is number or nope", "not num is none", "num is not number", "num is nope", "text is string and text|length > 3", "undefined_a is defined and undefined_a.x", "users is iterable and users is not string and users is not mapping", "true is true is true", "1 is eq 1 == true", "undefined_a is odd", "'x' is odd", "'5' is divisibleby 5", "3 is divisibleby 0", "nothing is defined", "[1] is eq [1]",
)

# ---------------------------------------------------------------- filters
group(
    "text_filters",
    "text|upper", "text|lower", "uni|upper", "uni|lower", "uni|title", "uni|capitalize", "'hELLO wORLD'|capitalize", "''|capitalize", "'hello-world (foo) [bar] <baz> {qux} o\\'neil'|title", "num|upper", "nothing|upper", "undefined_a|upper", "blank|trim", "'xxhixx'|trim('x')", "'abcba'|trim('ab')", "num|trim", "text|replace('l', 'L')", "text|replace('l', 'L', 2)", "text|replace('', '-')", "'aaa'|replace('a', 'b', 0)", "num|replace('4', 5)", "'aaa'|replace('aa', 'b')", "uni|replace('世', '')", "text|center(20) ~ '|'", "'abc'|center(6) ~ '|'", "'abcd'|center(7) ~ '|'", "text|center", "lines|indent", "lines|indent(2)", "lines|indent(2, true)", "lines|indent(2, blank=true)", "lines|indent('> ', first=true)", "'a\nb'|indent(width=1)", "''|indent", "'a'|indent(3, true)", "'\n\na'|indent(2, true, true)", "num|indent", "undefined_a|indent", "'a\nb\n'|indent(2)", "'a\n\nb'|indent(2)",
    "long|truncate(20)", "long|truncate(20, true)", "long|truncate(20, false, '!')", "long|truncate(20, true, '', 0)", "long|truncate(40)", "long|truncate(39)", "long|truncate", "long|truncate(2)", "'abcdefghijkl'|truncate(5)", "long|wordcount", "''|wordcount", "'a-b c_d é'|wordcount", "'%s and %d'|format('x', 3)", "'%(a)s'|format(a=1)", "'%s %s'|format(1)", "'x'|format", "'%s'|format(1, 2)", "html|escape", "html|e", "html|safe", "(html|safe) + '<i>'", "'<i>' + (html|safe)", "(html|safe) ~ '<i>'", "(html|safe)|upper", "(html|safe) * 2", "(html|safe)|e", "(html|e)|e", "[html|safe]", "(html|safe)|length", "num|safe", "num|string ~ 1", "nothing|string", "undefined_a|string", "pi|string", "nums|string", "text|string|length", "text|length", "uni|length", "nums|length", "d|length", "undefined_a|length", "num|length", "nothing|length", "d|count", "range(5)|length",
    "text|reverse", "uni|reverse", "text|first", "text|last", "''|first", "text|list", "uni|list", "num|e", "text|nope", "text|upper(1)", "text|upper|lower|title", "'a b'|replace(' ', '')|upper|length",
)
group(
    "sequence_filters",
    "nums|sort", "nums|sort(reverse=true)", "words|sort", "words|sort(case_sensitive=true)", "users|sort(attribute='age')|map(attribute='name')|list", "users|sort(attribute='age,name')|map(attribute='name')|join(',')", "users|sort(attribute='name', reverse=true)|map(attribute='name')|join(',')", "mixed|sort", "d|sort", "text|sort|join", "elist|sort", "undefined_a|sort", "nums|first", "nums|last", "elist|first", "elist|last", "elist|first is defined", "d|first", "d|last", "range(3)|last", "nums|map('string')|last", "nums|map('string')|first", "undefined_a|first", "nums|join", "nums|join(', ')", "words|join(' ')", "mixed|join('|')", "users|join(',', attribute='name')", "users|join(',', 'age')", "text|join('-')", "d|join(',')", "elist|join('x')", "undefined_a|join", "nums|join(5)", "num|join", "nums|list", "d|list", "undefined_a|list", "num|list", "nums|reverse|list", "nums|reverse", "(1, 2)|reverse|list", "d|reverse|list",
    "nums|sum", "elist|sum", "users|sum(attribute='age')", "nums|sum(start=10)", "[1.5, 2]|sum", "['a']|sum", "[[1], [2]]|sum(start=[])", "nums|max", "nums|min", "words|max", "words|min", "words|max(case_sensitive=true)", "users|max(attribute='age')", "users|min(attribute='age')", "elist|max", "mixed|max", "words|unique|list", "words|unique(case_sensitive=true)|list", "[1, 1.0, true, 2]|unique|list", "users|unique(attribute='age')|map(attribute='name')|list", "users|unique(attribute='city')|map(attribute='name')|list", "[[1], [1]]|unique|list", "range(7)|batch(3)|list", "range(7)|batch(3, 'x')|list", "elist|batch(2)|list", "range(7)|slice(3)|list", "range(7)|slice(3, 'x')|list", "range(6)|slice(3, 'x')|list", "range(2)|slice(3)|list", "users|groupby('age')|list|length", "users|dictsort", "d|dictsort", "d|dictsort(true)", "{'b': 2, 'a': 3}|dictsort(by='value')", "d|dictsort(reverse=true)", "d|dictsort(by='x')", "{'b': 'Z', 'a': 'y'}|dictsort(false, 'value')", "{2: 'a', 1: 'b'}|dictsort", "edict|dictsort", "undefined_a|dictsort",
    "d|items|list", "undefined_a|items|list", "nums|items", "d|items|length", "edict|items|list", "nums|map('string')|list", "nums|map('string')", "words|map('upper')|join", "users|map(attribute='name')|list", "users|map(attribute='tags')|list", "users|map(attribute='tags.0', default='-')|list", "users|map(attribute='tags', default='-')|list", "users|map(attribute='zz')|list", "nums|map('round', 1)|list", "words|map('replace', 'p', 'q')|list", "nums|map('nope')|list", "nums|map|list", "elist|map('upper')|list", "undefined_a|map('upper')|list", "[[1, 2], [3]]|map('first')|list", "[[1, 2], [3]]|map(attribute=0)|list", "nums|select('odd')|list", "nums|select('gt', 1)|list", "mixed|select|list", "mixed|select('string')|list", "nums|select('in', [1, 2])|list", "nums|select('equalto', 2)|list", "nums|reject('odd')|list", "mixed|reject|list", "nums|select('nope')|list", "users|selectattr('tags')|map(attribute='name')|list", "users|selectattr('age', 'eq', 30)|map(attribute='name')|list", "users|selectattr('age', '==', 30)|list|length", "users|selectattr('tags', 'defined')|list|length", "users|rejectattr('tags', 'defined')|list|length", "messages|selectattr('role', 'equalto', 'user')|list", "messages|selectattr('role', 'in', ['user', 'tool'])|list|length", "messages|rejectattr('role', 'equalto', 'system')|map(attribute='role')|join(',')", "users|selectattr|list",
    "(nums|select('odd')) is defined", "'yes' if elist|select else 'no'", "(nums|map('string'))|length", "nums|map('string')|list|length", "users|groupby('age')|map('last')|map('length')|list", "users|groupby('city')|map('first')|list", "users|groupby('city', case_sensitive=true)|map('first')|list", "users|groupby('tags', default=[])|length",
)
whole(
    "sequence_filters",
    "{% for g in users|groupby('age') %}{{ g.grouper }}:{{ g.list|map(attribute='name')|join('+') }};{% endfor %}", "{% for age, group in users|groupby('age') %}{{ age }}{{ group|length }}{% endfor %}", "{% set it = nums|map('string') %}{{ it|join }}{{ it|join }}", "{% set it = nums|select('odd') %}{% for x in it %}{{ x }}{% endfor %}{% for x in it %}{{ x }}{% else %}used up{% endfor %}", "{% set it = d.items() %}{{ it|list|length }}{{ it|list|length }}", "{% set last_user = messages|selectattr('role', 'equalto', 'user')|list|last %}{{ last_user.content }}", "{{ (messages|selectattr('role', 'equalto', 'nobody')|list) or 'none' }}",
)
group(
    "value_filters",
    "undefined_a|default('x')", "nothing|default('x')", "nothing|default('x', true)", "empty|default('x')", "empty|default('x', boolean=true)", "zero|d(5, true)", "undefined_a|default", "undefined_a|default(none)", "users[0].zz|default('q')", "undefined_a.b|default('q')", "neg|abs", "-2.5|abs", "'a'|abs", "undefined_a|abs", "'42'|int", "'4.9'|int", "4.9|int", "-4.9|int", "'x'|int", "'x'|int(7)", "'x'|int(default=none)", "'0x1f'|int(0, 16)", "'1f'|int(0, 16)", "'0b11'|int(base=2)", "'  12  '|int", "'1_000'|int", "true|int", "nothing|int", "nums|int", "undefined_a|int", "''|int", "'1e3'|int", "'inf'|int", "'3.5'|float", "'x'|float", "'x'|float(1.5)", "3|float", "nothing|float", "undefined_a|float", "'1e400'|float", "'nan'|float", "'-inf'|float", "' 2.5 '|float",
    "2.5|round", "3.5|round", "-2.5|round", "2.675|round(2)", "3.14159|round(3)", "42|round", "42|round(1)", "1234.5|round(-2)", "1250|round(-2)", "1350|round(-2)", "2.1|round(method='ceil')", "2.9|round(0, 'floor')", "2.123|round(2, 'ceil')", "2.5|round|int", "'x'|round", "1|round(method='x')", "0.5|round", "1.5|round", "1e20|round(2)", "users[0]|attr('name')", "text|attr('nope')", "nothing|tojson", "yes|tojson", "num|tojson", "pi|tojson", "big|tojson", "tiny|tojson", "text|tojson", "quote|tojson", "uni|tojson", "uni|tojson(ensure_ascii=true)", "'😀é'|tojson(true)", "nums|tojson", "mixed|tojson", "d|tojson", "nested|tojson", "nested|tojson(indent=2)", "mixed|tojson(indent=4)", "elist|tojson(indent=2)", "edict|tojson(indent=2)", "{'a': []}|tojson(indent=2)", "d|tojson(sort_keys=true)", "d|tojson(separators=(',', ':'))", "d|tojson(indent=2, separators=(', ', ' : '))", "d|tojson(indent='\t')", "d|tojson(indent=0)", "{1: 2, none: 3, true: 4, 1.5: 6}|tojson", "{(1, 2): 3}|tojson", "(1, 2)|tojson", "undefined_a|tojson", "[undefined_a]|tojson", "range(3)|tojson", "namespace()|tojson", "html|tojson", "messages|tojson", "messages[2].tool_calls[0].function.arguments|tojson", "1e16|tojson", "'\\u2028\\x7f\\x1f'|tojson", "2.0|tojson", "-0.0|tojson", "users|tojson(indent=1)", "d.items()|list|tojson", "(html|safe)|tojson",
)

# ---------------------------------------------------------------- methods of str and dict
group(
    "methods",
    "text.upper()", "text.lower()", "uni.upper()", "uni.lower()", "uni.title()", "uni.capitalize()", "uni.swapcase()", "'hello wORLD o\\'neil x2y'.title()", "blank.strip()", "blank.lstrip() ~ '|'", "'|' ~ blank.rstrip()", "'xyxhixyx'.strip('xy')", "'xxa'.lstrip('x')", "'axx'.rstrip('x')", "'\n\nab\n'.strip('\n')", "'abc'.strip('')", "'a'.strip(none)", "text.split(', ')", "' a  b c '.split()", "' a  b c '.split(' ')", "' a  b c '.split(none, 1)", "' a  b c '.rsplit(none, 1)", "'a,b,c'.split(',', 1)", "'a,b,c'.rsplit(',', 1)", "'a,b,c'.split(',', maxsplit=1)", "'a,b,c'.split(sep=',')", "''.split()", "''.split(',')", "'abc'.split('')", "'abc'.split(',')", "'a</think>b</think>c'.split('</think>')[-1]", "'a</think>b'.split('</think>')[0].split('<think>')[-1]", "lines.splitlines()", "lines.splitlines(true)", "''.splitlines()", "'a\\x0bb\\x85c\\u2028d'.splitlines()", "'a=b=c'.partition('=')", "'a=b=c'.rpartition('=')", "'abc'.partition('=')", "'abc'.rpartition('=')", "'abc'.partition('')", "text.startswith('Hell')", "text.startswith('x')", "text.startswith(('x', 'H'))", "text.startswith('World', 7)", "text.endswith('World')", "text.endswith(('a', 'd'))", "text.endswith('lo', 0, 5)", "text.startswith('')", "text.startswith('', 99)", "text.startswith(1)",
    "text.find('o')", "text.find('o', 5)", "text.rfind('o')", "text.find('zz')", "uni.find('世')", "uni.rfind('ß')", "text.index('W')", "text.index('zz')", "text.rindex('o')", "text.count('l')", "text.count('')", "'aaaa'.count('aa')", "text.count('l', 4)", "text.find('l', -3)", "text.find('')", "text.find('', 50)", "text.replace('l', 'LL')", "text.replace('l', 'LL', 1)", "text.replace('', '.')", "text.replace('zz', 'y')", "'é'.replace('', '-')", "'-'.join(words)", "'-'.join('abc')", "''.join([])", "','.join([1, 2])", "','.join(d)", "', '.join(words|map('upper'))", "text.removeprefix('Hello')", "text.removesuffix('World')", "text.removeprefix('x')", "'7'.zfill(3)", "'-7'.zfill(4)", "'abc'.zfill(2)", "'a'.center(4, '*')", "'ab'.center(5, '*')", "'a'.ljust(3) ~ '|'", "'a'.rjust(3, '0')", "'é'.rjust(3, '世')", "'a'.ljust(3, 'xy')", "'a\tb\tc'.expandtabs(4)", "'a\n\tb'.expandtabs()", "'abc'.isalpha()", "'abc1'.isalnum()", "'123'.isdigit()", "'²'.isdigit()", "'²'.isdecimal()", "'½'.isnumeric()", "''.isdigit()", "'Abc'.isupper()", "'ABC'.isupper()", "'abc'.islower()", "'Abc Def'.istitle()", "'  '.isspace()", "'a_1'.isidentifier()", "'1a'.isidentifier()", "'a b'.isprintable()", "'a\n'.isprintable()", "'é'.isascii()", "'e'.isascii()", "'ß'.casefold() is defined",
    "d.get('a')", "d.get('zz')", "d.get('zz', 'def')", "d.get('zz', default='x') if false else 1", "d.keys()|list|sort", "d.values()|list|sum if false else 2", "d.items()|list|length", "d.copy() == d", "users[0].get('tags')|length", "users[2].get('tags', [])", "d.get(['x'])", "{1: 'a'}.get(1.0)", "nums.index(1)", "nums.count(1)", "(1, 2).index(2)", "nums.copy()", "text.nope()", "d.nope()", "num.upper()", "nothing.get('x')", "nums.get(0)", "(255).bit_length()", "(2.0).is_integer()", "text.split", "'a'.upper(1)", "'a'.split(1)", "'a'.join()", "'a'.replace('a')",
    "'{} {}'.format(1, 'a')", "'{1} {0}'.format(1, 'a')", "'{a} {b}'.format(a=1, b=none)", "'{}'.format()", "'{0}{}'.format(1)", "'{:>5}|{:<5}|{:^5}'.format('a', 'b', 'c')", "'{:*^7}'.format('x')", "'{:05d}'.format(42)", "'{:+d} {: d}'.format(5, 5)", "'{:x} {:X} {:o} {:b} {:#x}'.format(255, 255, 8, 5, 255)", "'{:,}'.format(1234567)", "'{:_}'.format(1234567)", "'{:.2f}'.format(3.14159)", "'{:8.3f}|'.format(3.14159)", "'{:e}'.format(12345.678)", "'{:g}'.format(0.00001)", "'{:g}'.format(1234567.0)", "'{:.1%}'.format(0.256)", "'{:.3}'.format('abcdef')", "'{!r} {!s}'.format('a', 'b')", "'{{}} {}'.format(1)", "'{0.name}'.format(users[0])", "'{0[name]}'.format(users[0])", "'{0[1]}'.format(nums)", "'{:{}}|'.format('a', 5)", "'{:{w}.{p}f}'.format(3.14159, w=8, p=2)", "'{'.format(1)", "'}'.format(1)", "'{:d}'.format('a')", "'{:s}'.format(1)", "'{:5}'.format(none)", "'{}'.format(none)", "'{} {} {}'.format(true, [1], 1.5)", "'{:5}|'.format(42)", "'{:5}|'.format('ab')", "'{:5}|'.format(true)", "'{:.2f}'.format(2)", "'{:,.2f}'.format(1234567.891)", "'{:05}'.format('a')", "'{:=+6d}'.format(42)", "'{:é>4}'.format('a')", "'{a}'.format_map({'a': 1})", "'{}'.format(undefined_a)",
    "'%s %s' % (1, 'a')", "'%s' % 'x'", "'%d' % 42", "'%5d|%-5d|%05d' % (1, 2, 3)", "'%+d % d' % (1, 2)", "'%x %X %o %#x' % (255, 255, 8, 255)", "'%.2f' % 3.14159", "'%8.3f|' % 3.14159", "'%e' % 12345.678", "'%g %g' % (0.00001, 1234567.0)", "'%r' % 'a'", "'%c%c' % ('a', 98)", "'%%' % ()", "'%(a)s-%(b)d' % {'a': 'x', 'b': 2}", "'%s' % (1, 2)", "'%s %s' % 1", "'%d' % 'a'", "'%d' % 3.9", "'%5s|%-5s|' % ('a', 'b')", "'%.2s' % 'abc'", "'%*d' % (5, 42)", "'%s' % [1, 2]", "'%s' % ((1, 2),)", "'%s' % none", "'%s' % d", "'%q' % 1", "'%' % 1", "'abc' % 1", "'abc' % []", "'%s %s' % ('é', '世')", "'%5s|' % 'é'", "'%i' % true", "'%f' % 1", "'%s%%' % 50", "'%(a)s' % 5", "'%-+8.2f|' % 3.14159", "'%08.2f' % -3.14159",
)

# ---------------------------------------------------------------- functions, errors
group(
    "functions",
    "strftime_now('%Y-%m-%d')", "strftime_now('%d %b %Y')", "strftime_now('%d %B %Y')", "strftime_now('%A, %B %d, %Y')", "strftime_now('%H:%M:%S %p %I')", "strftime_now('%j %U %W %w %u %y %%')", "strftime_now('%-d/%-m %e')", "strftime_now('%a %c')", "strftime_now('%x %X %D %F %T %R')", "strftime_now('')", "strftime_now('é %Y')", "strftime_now('%G-W%V')", "raise_exception('Roles must alternate')", "raise_exception('a' ~ 1)", "range(1, 3)|list", "dict(a=1).a", "namespace(x=1).x", "undefined_f()", "text()", "range()", "range('a')",
)
whole(
    "errors",
    "{% if %}x{% endif %}", "{% if true %}", "{% endif %}", "{% for x in %}{% endfor %}", "{% for x nums %}{% endfor %}", "{% nope %}", "{{ 1 + }}", "{{ (1 }}", "{{ [1, 2 }}", "{{ {'a' 1} }}", "{{ 'abc }}", "{{ a b }}", "{{ a..b }}", "{{ a[ }}", "{{ }}", "{{ 1 }", "{% set x = %}", "{% set 1 = 2 %}", "{% set x y %}", "{# never", "{% raw %}x", "{{ x | }}", "{{ x is }}", "{{ $ }}", "{{ a ? b : c }}", "{% for x in nums %}{% endif %}", "{% macro %}{% endmacro %}", "{% macro m %}{% endmacro %}", "{{ f(a=1, 2) }}", "{{ f(a=1, a=2) }}", "{% break %}", "{{ ) }}", "{{ (1] }}", "{% else %}", "{% set x %}a", "{{ x | 5 }}", "{{ 1.2.3 }}", "{% if true %}x{% else %}y{% elif true %}z{% endif %}", "{% call %}{% endcall %}", "{{ not }}", "{{ a if }}", "{% filter %}{% endfilter %}", "{{ 'a' if true else }}", "{{ *x }}", "{{ f(*a, *b) }}", "{% include 'x' %}",
)
whole(
    "conversations",
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{{ m.content }}{% endfor %}",
    "{%- if messages[0]['role'] == 'system' %}\n    {%- set system_message = messages[0]['content'] %}\n    {%- set loop_messages = messages[1:] %}\n{%- else %}\n    {%- set loop_messages = messages %}\n{%- endif %}\n{%- for message in loop_messages %}\n    {%- if message.role == 'user' %}\n        {{- '[INST]' + (system_message + '\\n' if loop.first else '') + message.content + '[/INST]' }}\n    {%- elif message.tool_calls is defined and message.tool_calls is not none %}\n        {{- '[TOOL_CALLS][' }}\n        {%- for call in message.tool_calls %}\n            {{- call.function|tojson }}{{- ', ' if not loop.last }}\n        {%- endfor %}\n        {{- ']' }}\n    {%- else %}\n        {{- ' ' + message.content|trim }}\n    {%- endif %}\n{%- endfor %}\n",
)


def mentioned(source):
    """The variables that the snippet mentions by name; enough, since none is built at run time."""
    return {k: v for k, v in VARIABLES.items() if k in source}


def make_case(source, env):
    variables = mentioned(source)
    case = {"source": source, "variables": variables}
    try:
        case["expected"] = env.from_string(source).render(json.loads(json.dumps(variables)))
    except RaisedByTemplate as error:
        case["error"] = str(error)
    except Exception:
        case["error"] = ""
    return case


# What Python prints for these depends on addresses or hashes, or is beyond 64 bits on purpose.
SKIPPED = ("<generator", "<list_reverseiterator", "<built-in", "<function", "<bound", "<dict_reverse", "object at 0x")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    total = 0
    for name, snippets in GROUPS.items():
        env = environment(mutable=name == "mutation")
        cases = []
        for source in dict.fromkeys(snippets):
            case = make_case(source, env)
            if any(mark in case.get("expected", "") for mark in SKIPPED):
                continue
            cases.append(case)
        total += len(cases)
        # One variable table per file: most snippets share them.
        shared = {}
        for case in cases:
            shared.update(case.pop("variables"))
        document = {"origin": f"scripts/golden/make_template_goldens.py, jinja2 {jinja2.__version__}", "variables": shared,
                    "cases": cases}
        path = OUT / f"{name}.json"
        path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"{total} cases in {len(GROUPS)} files")


if __name__ == "__main__":
    main()
