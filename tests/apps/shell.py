# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""bash: redirections of every kind, descriptors that are kept, shared and inherited."""

import apptest
from apptest import App

SCRIPTS = {
    "plain": "echo one > a; echo two >> a; cat a; echo three > a; cat a; : > b; echo x >| b; wc -c a b",
    "both ways": "echo 0123456789 > a; exec 3<> a; read -n 4 x <&3; echo $x; echo -n AB >&3; exec 3>&-; cat a",
    "kept": "exec 3> a; echo one >&3; echo two >&3; exec 4>&3; echo three >&4; exec 3>&-; echo four >&4; exec 4>&-; "
            "cat a",
    "append kept": "exec 3>> a 4>> a; for i in 1 2 3 4 5; do echo three $i >&3; echo four $i >&4; done; cat a",
    "stderr": "ls missing > a 2>&1; ls missing 2> b; ls missing &> c; ls missing &>> c; { echo o; echo e >&2; } >> a "
              "2>&1; cat a b c",
    "here": "cat > a << END\nline $((1 + 1))\nmore\nEND\ncat >> a <<< 'a string'; cat a; tr a-z A-Z < a > b; cat b",
    "children": "exec 3> a; (echo child >&3; echo again >&3); echo parent >&3; (exec 3>&-); echo more >&3; "
                "bash -c 'echo exec >&3'; echo last >&3; cat a",
    "offset": "exec 3> a 4< a; for i in $(seq 100); do echo line $i >&3; read x <&4; echo got $x; done; cat a | md5sum",
    "pipeline": "seq 20000 | tee a | while read x; do [ $((x % 1000)) = 0 ] && echo $x; done > b; wc -l a b; cat b",
    "background": "for i in 1 2 3 4; do (for j in $(seq 200); do echo $i $j; done >> a) & done; wait; sort a | md5sum; "
                  "wc a; sort -o a a",
    "noclobber": "set -C; echo one > a; echo two > a; echo $?; echo three >| a; cat a",
    "swap": "echo stdout > a; exec 5>&1 > b; echo to b; exec >&5 5>&-; echo to stdout; cat a b",
    "truncate open": "exec 3> a; echo 0123456789 >&3; : > a; echo after >&3; od -c a; exec 3>> a; echo tail >&3; od -c a",
    "unlinked": "exec 3<> a; rm a; echo hidden >&3; cat /proc/self/fd/3; ls; echo > other",
    "renamed": "exec 3> a; echo one >&3; mv a b; echo two >&3; cat b; echo new > a; cat a b",
    "heavy": "for i in $(seq 2000); do echo $i >> a; done; md5sum < a; for i in $(seq 300); do echo $i > b; done; cat b",
    "mapfile": "seq 1000 > a; mapfile -t x < a; echo ${#x[@]} ${x[500]}; source <(echo echo sourced); "
               "printf 'echo script $1\\n' > s; . ./s one; bash s two",
    "process": "diff <(seq 10 | tee a) <(seq 11); seq 5 > >(cat > b; touch done); while [ ! -e done ]; do sleep 0.01; "
               "done; cat a b",
    "program": "cp /bin/true prog; chmod +x prog; ./prog && echo ran; cp /bin/false prog; ./prog || echo ran; "
               "printf '#!/bin/bash\\necho hello $0\\n' > script; chmod +x script; ./script",
    "mtime": "echo one > a; touch -d '2001-01-01' a; stat -c %y a; echo two > b; touch -r a b; stat -c %y b; "
             "[ a -nt b ] || echo same; echo three >> a; [ a -nt b ] && echo newer; touch -d 2002-02-02 a; "
             "cat a > /dev/null; stat -c '%y %s' a",
}


def redirections():
    app = App("shell")
    for name, script in SCRIPTS.items():
        app.both("mkdir '%s' && cd '%s' && { %s ; }" % (name, name, script.replace("\nEND\n", "\nEND\n")), status=None)
        app.compare()
    app.finish()


apptest.main(redirections)
