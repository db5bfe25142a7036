"""Labels, demonstrations and people, in one SQLite file: runs/<preset>-class/classroom.sqlite.

`schema.sql` says what is kept. `database` opens it; the other modules are the questions that pages ask of it, functions
whose first argument is the Database (`app.state.store`).
"""
