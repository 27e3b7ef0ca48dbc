-- Every outcome has the groups of codes that its rule counts and the collections it is observed in; a variant belongs
-- to an evaluated outcome, which names the collections for both (definitions, sections 4 and 5).

with
outcomes as (

    select * from {{ ref('outcomes') }}
    where status <> 'not_evaluated'

),

code_groups as (

    select * from {{ ref('outcome_code_groups') }}

),

collections as (

    select * from {{ ref('outcome_collections') }}

),

groups_needed as (

    select
        programme,
        outcome,
        'sample' as group_use
    from outcomes
    where sample_rule in ('needs_factors', 'care_order')

    union all

    select
        programme,
        outcome,
        'event' as group_use
    from outcomes
    where measure in ('missing_episode', 'neet')

    union all

    select
        programme,
        outcome,
        'placement' as group_use
    from outcomes
    where measure = 'kinship_care'

),

missing_groups as (

    select
        groups_needed.programme,
        groups_needed.outcome,
        'outcome_code_groups has a row with group_use ' || groups_needed.group_use || ' for the outcome' as broken_rule
    from groups_needed
    left join code_groups
        on
            groups_needed.programme = code_groups.programme
            and groups_needed.outcome = code_groups.outcome
            and groups_needed.group_use = code_groups.group_use
    where code_groups.code_group is null

),

missing_collections as (

    select
        outcomes.programme,
        outcomes.outcome,
        'outcome_collections has a row for the outcome' as broken_rule
    from outcomes
    left join collections
        on
            outcomes.programme = collections.programme
            and outcomes.outcome = collections.outcome
    where outcomes.status = 'evaluated' and collections.collection is null

),

variants_astray as (

    select
        outcomes.programme,
        outcomes.outcome,
        'a variant belongs to an evaluated outcome of the same index event' as broken_rule
    from outcomes
    left join outcomes as evaluated
        on
            outcomes.programme = evaluated.programme
            and outcomes.variant_of = evaluated.outcome
            and evaluated.status = 'evaluated'
            and outcomes.index_event = evaluated.index_event
    where outcomes.status = 'variant' and evaluated.outcome is null

)

select * from missing_groups
union all
select * from missing_collections
union all
select * from variants_astray
