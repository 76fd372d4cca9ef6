" SPDX-License-Identifier: BSD-3-Clause
" Copyright (c) 2026 the nvmmio authors
"
" edit.vim: a session of an editor with backups, an undo file, a swap file and syncs.
set nocompatible undofile undodir=. backup backupdir=. fsync swapsync=fsync directory=. viminfo=
edit a
%s/1/one/g
write
g/7/d
write! c
1,100m$
set backupcopy=yes
write
set backupcopy=no
$-50,$w >> c
edit b
normal! Gyyp
put ='new line'
write
preserve
normal! ggdG
read c
1,10yank
$put
wall
edit! a
silent undo
write d
call writefile(map(range(500), 'string(v:val)'), 'e')
call writefile(['appended'], 'e', 'a')
call delete('f')
call rename('e', 'f')
edit! new
call append(0, readfile('f'))
w !sort -n | tail -3 >> g
wq
qall!
