-- Every programme has sites, an evaluated outcome, and both further definitions of treatment (definitions, sections 1,
-- 4 and 5).

with
programmes as (

    select * from {{ ref('programmes') }}

),

parts as (

    select
        programme,
        'a site' as part
    from {{ ref('sites') }}

    union

    select
        programme,
        'an evaluated outcome' as part
    from {{ ref('outcomes') }}
    where status = 'evaluated'

    union

    select
        programme,
        'the treatment variant ' || variant as part
    from {{ ref('treatment_variants') }}

),

parts_needed as (

    {% for part in [
        'a site', 'an evaluated outcome', 'the treatment variant share_of_open_days', 'the treatment variant open_days',
    ] %}
    select '{{ part }}' as part
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select
    'the programme has ' || parts_needed.part as broken_rule,
    programmes.programme
from programmes
cross join parts_needed
left join parts
    on
        programmes.programme = parts.programme
        and parts_needed.part = parts.part
where parts.programme is null
