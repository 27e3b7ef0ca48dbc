-- Each group of codes that a rule of the warehouse reads has at least one code.

with
code_groups as (

    select * from {{ ref('code_groups') }}

),

groups_needed as (

    {% for code_group in [
        'closed_after_assessment', 'starts_care_period', 'continues_care_period', 'short_break', 'starts_placement',
        'temporary_placement', 'no_disability', 'white_british',
    ] %}
    select '{{ code_group }}' as code_group
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select distinct
    'the group has at least one code' as broken_rule,
    groups_needed.code_group
from groups_needed
left join code_groups on groups_needed.code_group = code_groups.code_group
where code_groups.code_group is null
