"""The pages, one file each. A file has a list `routes`; `app.py` collects them all.

    async def show(request: Request) -> Response:
        person = current_person(request)            # sessions.py; security.py has let nobody else in
        return render(request, "label", item=item)  # rendering.py: templates/label.html.jinja

    routes = [Route("/label", show), Route("/label", save, methods=["POST"])]

Every request other than GET carries the session's token: a form as `<input type=hidden name=csrf value="{{ csrf }}">`,
a script as the header X-CSRF-Token (static/site.js: `send(address, object)`). A page under /teacher is the teacher's. A
UserError becomes a page, or for a script {"error": ...}, with that sentence and status 400. What waits for the disk is
called by `run_in_threadpool`.
"""
