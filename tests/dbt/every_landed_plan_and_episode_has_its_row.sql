-- Nothing is lost and nothing made up: the days on which landed plans, missing episodes and care leavers' records stand
-- are those of the rows made of them (definitions, section 3).

{%- set facts = [
    ('child in need plan', 'stg_cin__plans', 'int_cin_plan_spells', "cast(plan_start as string)"),
    ('child protection plan', 'stg_cin__cp_plans', 'int_cp_plan_spells', "cast(plan_start as string)"),
    (
        'missing episode', 'stg_ssda903__missing', 'int_missing_episodes',
        "cast(missing_start as string) || coalesce(missing_type, '')",
    ),
    ('care leaver', 'stg_ssda903__oc3', 'int_care_leaver_records', "cast(return_year as string)"),
] %}

with
records as (

    {% for fact, staging, made, key in facts %}
    select distinct
        '{{ fact }}' as fact,
        la_code,
        child_id,
        {{ key }} as fact_key
    from {{ ref(staging) }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

made as (

    {% for fact, staging, made, key in facts %}
    select
        '{{ fact }}' as fact,
        la_code,
        child_id,
        {{ key }} as fact_key
    from {{ ref(made) }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select
    records.child_id as child_in_records,
    made.child_id as child_in_rows_made,
    coalesce(records.fact, made.fact) as fact,
    coalesce(records.fact_key, made.fact_key) as fact_key
from records
full outer join made
    on
        records.fact = made.fact
        and records.la_code = made.la_code
        and records.child_id = made.child_id
        and records.fact_key = made.fact_key
where records.child_id is null or made.child_id is null
